"""How many targets each objective has in a batch, before the model has seen it.

A step's loss is divided by target counts over all its micro-batches and ranks, so they must be known before the first
backward pass. Counting needs the masks, which the same seed draws again; that costs about a millisecond in the reading
thread and spares a synchronisation between forward and backward. Where targets are, `nymph.model.selection` says to
both.
"""

import hashlib

import torch

from nymph.model.config import ModelConfig, ObjectiveConfig
from nymph.model.masking import draw_masks
from nymph.model.selection import hidden_patches, hidden_prosody, next_patches, token_weights, withheld
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
        "next_token": token_weights(batch).sum(),
        "next_audio": next_patches(batch).sum(),
        "masked_modality": hidden_patches(batch, masks).sum() + hidden_prosody(batch, masks).sum(),
        "sentiment": withheld(batch, masks, "sentiment").sum(),
        "speaker": withheld(batch, masks, "speaker").sum() * bool(len(batch["speaker_vectors"])),
    }
    return {name: float(counts[name]) for name in objectives.weights()}
