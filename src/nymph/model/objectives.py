"""What a model is taught, as sums and counts, so that a trainer can normalise over all ranks and steps at once.

| objective | target | where it counts | loss |
|---|---|---|---|
| next_token | tokens[t], from positions before t of its document | loss_weight[t] above 0 | cross-entropy |
| next_audio | the audio patch at t, from positions before t | patches in the same document as t - 1 | Huber |
| masked_modality | hidden audio patches and prosody, at their positions | what `masking` hid | Huber |
| sentiment | the class of a document whose sentiment is hidden | labelled positions of it | cross-entropy |
| speaker | the vector of a document whose speaker is hidden | positions of it with a vector | 1 - cosine |
| autoencoder | the combined input features | all but padding | mean squared error |

Targets carry no gradient. A count may be 0, and then the sum is 0, never NaN.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from nymph.model.config import ObjectiveConfig
from nymph.model.cross_entropy import chunked_cross_entropy
from nymph.model.masking import Masks, draw_masks, without
from nymph.model.multimodal import Batch, MultimodalModel
from nymph.model.selection import (
    document_of,
    hidden_patches,
    hidden_prosody,
    next_patches,
    token_weights,
    withheld,
)

ACCURACY = "accuracy"
"""Not an objective: (right guesses, guesses) of next_token, or of autoencoder."""
_RIGHT = 0.1
"""An autoencoder's position is right where at most this share of its features' energy is missed."""

Sum = tuple[Tensor, Tensor]
"""(sum of losses, number of targets), both float32 scalars."""


def compute(
    model: MultimodalModel,
    batch: Batch,
    config: ObjectiveConfig,
    generator: torch.Generator | None = None,
    hide: frozenset[str] = frozenset(),
) -> dict[str, Sum]:
    """Run the model on a batch: (loss sum, target count) of each active objective, and ACCURACY.

    `generator` (CPU) decides what is hidden; `hide` names modalities to withhold altogether (an ablation), which draws
    nothing. Only the sums carry a gradient.
    """
    document = document_of(batch)
    dropout = model.config.modality_dropout if model.training else 0.0
    masks = without(hide, document) if hide else draw_masks(document, config, dropout, generator)
    if config.objective == "autoencoder":
        return _autoencoder(model, batch, document)
    hidden = model(batch, masks)
    losses: dict[str, Sum] = {}
    for name in config.weights():
        if name == "next_token":
            losses[name], losses[ACCURACY] = _next_token(model, batch, hidden)
        else:
            losses[name] = _OBJECTIVES[name](model, batch, hidden, masks)
    return losses


def total(losses: Mapping[str, Sum], config: ObjectiveConfig) -> Tensor:
    """The weighted sum of mean losses, for one process; a trainer on many divides by global counts instead."""
    weights = config.weights()
    return torch.stack([weights[n] * s / c.clamp(min=1) for n, (s, c) in losses.items() if n in weights]).sum()


def _next_token(model: MultimodalModel, batch: Batch, hidden: Tensor) -> tuple[Sum, Sum]:
    weight = F.pad(token_weights(batch), (0, 1)).flatten()
    at = (weight > 0).nonzero().squeeze(1)
    rows, weights = hidden.flatten(0, 1).index_select(0, at), weight[at]
    loss, right = chunked_cross_entropy(rows, model.head, batch["tokens"].flatten()[at + 1], weights)
    count = weights.sum()
    return (loss, count), (right, count)


def _next_audio(model: MultimodalModel, batch: Batch, hidden: Tensor, masks: Masks) -> Sum:
    if not len(batch.get("audio", ())):
        return _nothing(hidden)
    chosen = next_patches(batch)
    before = hidden.flatten(0, 1)[batch["audio_index"][chosen] - 1]
    return _huber(model.next_audio_head(before), batch["audio"][chosen])


def _masked_modality(model: MultimodalModel, batch: Batch, hidden: Tensor, masks: Masks) -> Sum:
    audio, prosody = _nothing(hidden), _nothing(hidden)
    if len(batch.get("audio", ())) and "audio" in masks.masked:
        chosen = hidden_patches(batch, masks)
        audio = _huber(model.audio_head(hidden.flatten(0, 1)[batch["audio_index"][chosen]]), batch["audio"][chosen])
    if "prosody" in batch and "prosody" in masks.masked:
        chosen = hidden_prosody(batch, masks)
        prosody = _huber(model.prosody_head(hidden[chosen]), batch["prosody"][chosen])
    return audio[0] + prosody[0], audio[1] + prosody[1]


def _sentiment(model: MultimodalModel, batch: Batch, hidden: Tensor, masks: Masks) -> Sum:
    if "sentiment" not in batch or "sentiment" not in masks.dropped:
        return _nothing(hidden)
    chosen = withheld(batch, masks, "sentiment")
    logits = model.sentiment_head(hidden[chosen]).float()
    return F.cross_entropy(logits, batch["sentiment"][chosen], reduction="sum"), _count(logits)


def _speaker(model: MultimodalModel, batch: Batch, hidden: Tensor, masks: Masks) -> Sum:
    if not len(batch.get("speaker_vectors", ())) or "speaker" not in masks.dropped:
        return _nothing(hidden)
    chosen = withheld(batch, masks, "speaker")
    target = batch["speaker_vectors"][batch["speaker"][chosen]].float()
    cosine = F.cosine_similarity(model.speaker_head(hidden[chosen]).float(), target, dim=-1)
    return (1 - cosine).sum(), _count(cosine)


def _autoencoder(model: MultimodalModel, batch: Batch, document: Tensor) -> dict[str, Sum]:
    features = model.embed(batch)
    hidden = model.transformer(features, batch.get("document"), batch.get("position"))
    target = features.detach().float()[document > 0]
    error = (model.autoencoder_head(hidden[document > 0]).float() - target).square()
    right = error.sum(dim=-1) <= _RIGHT * target.square().sum(dim=-1)
    return {"autoencoder": (error.mean(dim=-1).sum(), _count(error)), ACCURACY: (right.float().sum(), _count(right))}


def _huber(guess: Tensor, target: Tensor) -> Sum:
    """Sum over rows of the mean Huber loss of their features; NaN features of a target do not count."""
    known = ~target.isnan()
    loss = F.huber_loss(guess.float(), target.nan_to_num(0.0).float(), reduction="none") * known
    return (loss.sum(dim=-1) / known.sum(dim=-1).clamp(min=1)).sum(), _count(loss)


def _count(rows: Tensor) -> Tensor:
    return torch.tensor(float(len(rows)), device=rows.device)


def _nothing(like: Tensor) -> Sum:
    return like.new_zeros((), dtype=torch.float32), like.new_zeros((), dtype=torch.float32)


_OBJECTIVES: dict[str, Callable[[MultimodalModel, Batch, Tensor, Masks], Sum]] = {
    "next_audio": _next_audio,
    "masked_modality": _masked_modality,
    "sentiment": _sentiment,
    "speaker": _speaker,
}
