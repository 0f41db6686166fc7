"""Before step 0: whether the largest batch that could ever come fits the memory.

Rows differ in how many of their positions carry sound and how many are targets, so the first batch may fit and the
thousandth not. Two invented batches bound them all: every position text and a target, every position a mel patch.
It costs two forward and backward passes a run.
"""

import torch

from nymph.model.config import ModelConfig
from nymph.sequences.schema import PATCH, PROSODY, SPEAKER
from nymph.training.step import Stepper


def fits(stepper: Stepper, model: ModelConfig, rows: int) -> bool:
    """Whether micro-batches of `rows` rows fit the device; gradients and the optimizer's state stay as they were."""
    try:
        for audio in (False, True):
            stepper.rehearse(largest_batch(model, rows, audio))
    except torch.OutOfMemoryError:
        return False
    finally:
        stepper.optimizer.zero_grad(set_to_none=True)
    return True


def largest_batch(model: ModelConfig, rows: int, audio: bool) -> dict[str, torch.Tensor]:
    """`rows` rows of one document each, all of it text, or all of it mel patches; see `docs/architecture.md`."""
    shape = (rows, model.context_length)
    patches = rows * model.context_length if audio else 0
    return {
        "tokens": torch.zeros(shape, dtype=torch.int64),
        "modality": torch.full(shape, 2 if audio else 1),
        "loss_weight": torch.full(shape, 0.0 if audio else 1.0),
        "document": torch.ones(shape, dtype=torch.int64),
        "position": torch.arange(model.context_length).repeat(rows, 1),
        "sentiment": torch.zeros(shape, dtype=torch.int64),
        "speaker": torch.zeros(shape, dtype=torch.int64),
        "speaker_vectors": torch.ones(1, SPEAKER),
        "prosody": torch.zeros(*shape, PROSODY),
        "audio": torch.zeros(patches, PATCH),
        "audio_index": torch.arange(patches),
    }
