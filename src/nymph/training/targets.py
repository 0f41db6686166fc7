"""How many targets each objective has in a batch, before the model has seen it.

A step's loss is divided by target counts over all its micro-batches and ranks, so they must be known before the first
backward pass. Counting needs the masks, which the same seed draws again; that costs about a millisecond in the reading
thread and spares a synchronisation between forward and backward. A test holds it equal to what `objectives.compute`
reports.
"""

import hashlib

import torch
from torch import Tensor

from nymph.model.config import ModelConfig, ObjectiveConfig
from nymph.model.masking import Masks, draw_masks
from nymph.model.multimodal import prosody_present
from nymph.sequences.collation import Batch


def micro_seed(seed: int, start: int, rank: int, index: int) -> int:
    """Seed of a micro-batch's masks: a function of where it stands, so that resuming needs no saved generator."""
    text = f"nymph masks {seed} {start} {rank} {index}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "little")


def count_targets(batch: Batch, model: ModelConfig, objectives: ObjectiveConfig, seed: int) -> dict[str, float]:
    """Targets of each active objective in a training batch whose masks are drawn under `seed`."""
    document = batch["document"]
    if objectives.objective == "autoencoder":
        return {"autoencoder": float((document > 0).sum())}
    generator = torch.Generator().manual_seed(seed)
    masks = draw_masks(document, objectives, model.modality_dropout, generator)
    counts = {
        "next_token": _next_token(batch),
        "next_audio": _audio(batch, _continued(document)),
        "masked_modality": _masked(batch, masks),
        "sentiment": (masks.dropped["sentiment"] & (batch["sentiment"] >= 0)).sum(),
        "speaker": (masks.dropped["speaker"] & (batch["speaker"] >= 0)).sum() * bool(len(batch["speaker_vectors"])),
    }
    return {name: float(counts[name]) for name in objectives.weights()}


def _next_token(batch: Batch) -> Tensor:
    return (batch["loss_weight"].clamp(min=0) * _continued(batch["document"])).sum()


def _continued(document: Tensor) -> Tensor:
    """Positions [B, T] that belong to the document of the position before."""
    continued = torch.zeros_like(document, dtype=torch.bool)
    continued[:, 1:] = (document[:, 1:] == document[:, :-1]) & (document[:, 1:] > 0)
    return continued


def _audio(batch: Batch, where: Tensor) -> Tensor:
    return where.flatten()[batch["audio_index"]].sum()


def _masked(batch: Batch, masks: Masks) -> Tensor:
    return _audio(batch, masks.masked["audio"]) + (masks.masked["prosody"] & prosody_present(batch)).sum()
