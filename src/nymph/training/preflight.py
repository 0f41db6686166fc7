"""Before step 0: whether the largest batch that could ever come fits the memory.

Rows differ in how many of their positions carry sound and how many are targets, so the first batch may fit and the
thousandth not. Two invented batches bound them all: every position text and a target, every position a mel patch.
It costs two forward and backward passes a run. Where ranks hold parts of the model none may run out of memory, or the
others would wait for it: there what many rows need is told from what one and two rows do.
"""

import torch

from nymph.errors import NymphError
from nymph.model.config import ModelConfig
from nymph.sequences.schema import PATCH, PROSODY, SPEAKER
from nymph.training.devices import free_bytes, memory_bytes
from nymph.training.step import Stepper

SPARE = 0.1
"""Share of the memory that is to stay free where a need was not tried but calculated."""


def fits(stepper: Stepper, model: ModelConfig, rows: int) -> bool:
    """Whether micro-batches of `rows` rows fit the device; gradients and the optimizer's state stay as they were."""
    try:
        _rehearse(stepper, model, rows, pieces=1)
    except torch.OutOfMemoryError:
        return False
    return True


def fits_together(
    stepper: Stepper, model: ModelConfig, rows: int, most: int, pieces: int, device: torch.device
) -> bool:
    """The same of `pieces` micro-batches where the model is cut over the ranks; every rank must call it.

    `rows` are this rank's, `most` those of the rank with most of them.

    Raises:
        NymphError: Not even two rows fit this rank.
    """
    peaks = []
    for some in range(1, min(most, 2) + 1):  # on all ranks alike
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        try:
            _rehearse(stepper, model, some, pieces)
        except torch.OutOfMemoryError as error:
            advice = "cut the model into more parts, or use gradient_checkpointing"
            raise NymphError(f"{some} rows at once do not fit the memory of {device}; {advice}: {error}") from None
        peaks.append(memory_bytes(device))
    need = peaks[-1] + (rows - len(peaks)) * (peaks[-1] - peaks[0])
    return need <= (1 - SPARE) * _room(device)


def _room(device: torch.device) -> int:
    """Bytes this rank uses, and could use."""
    return free_bytes(device) + (torch.cuda.memory_reserved(device) if device.type == "cuda" else memory_bytes(device))


def _rehearse(stepper: Stepper, model: ModelConfig, rows: int, pieces: int) -> None:
    try:
        for audio in (False, True):
            stepper.rehearse(largest_batch(model, rows, audio), pieces)
    finally:
        stepper.optimizer.zero_grad(set_to_none=True)


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
