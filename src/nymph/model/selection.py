"""Where each objective has its targets: said once, for the losses and for counting targets ahead of a step.

Positions are those of `nymph.model.objectives`; N mel patches stand at `audio_index` in the flattened [B, T].
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from nymph.model.masking import Masks
from nymph.model.multimodal import Batch, prosody_present


def document_of(batch: Batch) -> Tensor:
    """[B, T] document numbers; everything is one document where the batch has none."""
    return batch.get("document", torch.ones_like(batch["tokens"]))


def token_weights(batch: Batch) -> Tensor:
    """[B, T - 1]: weight of the token after each position as a target, 0 where it is none."""
    given = batch.get("loss_weight")
    weights = torch.ones_like(batch["tokens"], dtype=torch.float) if given is None else given.float()
    return weights[:, 1:].clamp(min=0) * _continues(document_of(batch))


def next_patches(batch: Batch) -> Tensor:
    """bool [N]: patches of the same document as the position before."""
    return F.pad(_continues(document_of(batch)), (1, 0)).flatten()[batch["audio_index"]]


def hidden_patches(batch: Batch, masks: Masks) -> Tensor:
    """bool [N]: patches to be filled in."""
    return masks.masked["audio"].flatten()[batch["audio_index"]]


def hidden_prosody(batch: Batch, masks: Masks) -> Tensor:
    """bool [B, T]: prosody to be filled in."""
    return masks.masked["prosody"] & prosody_present(batch)


def withheld(batch: Batch, masks: Masks, label: str) -> Tensor:
    """bool [B, T]: positions whose `sentiment` or `speaker` was withheld from the model and is known."""
    return masks.dropped[label] & (batch[label] >= 0)


def _continues(document: Tensor) -> Tensor:
    """Positions 1..T-1 that belong to the document of the position before: bool [B, T - 1]."""
    return (document[:, 1:] == document[:, :-1]) & (document[:, 1:] > 0)
