"""What is hidden from the model at a step, and therefore what it can be asked for.

Three things are drawn, always on the CPU so that a seed hides the same on every device: modality dropout (a document
loses a modality altogether, training only), spans of audio and prosody to be filled in, and documents whose sentiment
or speaker is withheld everywhere, since one labelled position would give the label of its document away.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nymph.model.config import ObjectiveConfig

MODALITIES: tuple[str, ...] = ("audio", "image", "prosody", "sentiment", "speaker")
"""Inputs besides tokens, each of which may be missing anywhere."""
FILLED_IN: tuple[str, ...] = ("audio", "prosody")
"""Modalities that masked_modality hides in spans."""


@dataclass(frozen=True)
class Masks:
    """Boolean masks [B, T] by modality.

    `dropped` positions look as if the modality were absent; `masked` ones show a learned mask in its place.
    """

    dropped: Mapping[str, Tensor] = field(default_factory=dict)
    masked: Mapping[str, Tensor] = field(default_factory=dict)


def draw_masks(
    document: Tensor, objectives: ObjectiveConfig, dropout: float = 0.0, generator: torch.Generator | None = None
) -> Masks:
    """Draw what to hide from a batch with `document` [B, T]; `dropout` is the share of documents losing a modality."""
    host = document.cpu()
    dropped = {name: _documents(host, dropout, generator) for name in MODALITIES}
    for name in ("sentiment", "speaker"):
        dropped[name] |= _documents(host, objectives.label_share, generator)
    masked = {
        name: _spans(host, objectives.mask_share, objectives.mask_span, generator) & ~dropped[name]
        for name in FILLED_IN
    }
    place = document.device
    return Masks({k: v.to(place) for k, v in dropped.items()}, {k: v.to(place) for k, v in masked.items()})


def without(names: frozenset[str], document: Tensor) -> Masks:
    """Masks that drop whole modalities everywhere: what an ablation measures the model without."""
    everywhere = torch.ones_like(document, dtype=torch.bool)
    return Masks(dict.fromkeys(names, everywhere))


def _documents(document: Tensor, share: float, generator: torch.Generator | None) -> Tensor:
    """Whole documents, each with probability `share`."""
    draws = torch.rand(document.shape[0], int(document.max()) + 1 if document.numel() else 1, generator=generator)
    return draws.gather(1, document) < share


def _spans(document: Tensor, share: float, span: int, generator: torch.Generator | None) -> Tensor:
    """Spans of positions that together cover about `share` of them."""
    starts = torch.rand(document.shape, generator=generator) < 1 - (1 - share) ** (1 / span)
    covered = starts.clone()
    for shift in range(1, min(span, document.shape[1])):
        covered[:, shift:] |= starts[:, :-shift]
    return covered
