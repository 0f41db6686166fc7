"""MultimodalModel: five modalities summed into one stream of features, CustomTransformer over it, heads to read it.

At each position: token embedding + projected audio patch + projected prosody + sentiment embedding + projected speaker
vector (+ projected image patch), each added only where it is present. Absence adds nothing, and a present all-zero
feature still adds its projection's bias, so the two are never confused. The sum costs no positions, unlike a prefix per
modality; the price is that modalities share one width. Any key of a batch but `tokens` may be missing.
"""

import os
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nymph.errors import NymphError
from nymph.model.cache import Cache
from nymph.model.config import ModelConfig
from nymph.model.masking import FILLED_IN, Masks
from nymph.model.transformer import CustomTransformer

Batch = Mapping[str, Tensor]
"""The dict of `nymph.sequences.collation`: see docs/architecture.md, "A batch"."""


class MultimodalModel(nn.Module):
    """Embeddings, transformer and heads of a ModelConfig."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.audio_projection = nn.Linear(config.mel_patch, config.width)
        self.prosody_projection = nn.Linear(config.prosody_width, config.width)
        self.sentiment_embedding = nn.Embedding(config.sentiment_classes, config.width)
        self.speaker_projection = nn.Linear(config.speaker_width, config.width)
        if config.image_patch:
            self.image_projection = nn.Linear(config.image_patch, config.width)
        self.mask_embedding = nn.Embedding(len(FILLED_IN), config.width)
        self.transformer = CustomTransformer(config)
        if not config.tie_embeddings:
            self.token_head = nn.Linear(config.width, config.vocabulary_size, bias=False)
        self.audio_head = nn.Linear(config.width, config.mel_patch)
        self.next_audio_head = nn.Linear(config.width, config.mel_patch)
        self.prosody_head = nn.Linear(config.width, config.prosody_width)
        self.sentiment_head = nn.Linear(config.width, config.sentiment_classes)
        self.speaker_head = nn.Linear(config.width, config.speaker_width)
        self.autoencoder_head = nn.Linear(config.width, config.width)
        self._initialise()

    def forward(self, batch: Batch, masks: Masks | None = None, cache: Cache | None = None) -> Tensor:
        """The final features [B, T, D] of a batch; `masks` hides inputs, an empty `cache` is filled for generation."""
        return self.transformer(self.embed(batch, masks), batch.get("document"), batch.get("position"), cache)

    def step(self, batch: Batch, cache: Cache) -> Tensor:
        """Features [B, 1, D] of one new position a row, at batch["position"] [B, 1], against a filled cache."""
        return self.transformer.step(self.embed(batch), batch["position"], cache)

    def embed(self, batch: Batch, masks: Masks | None = None) -> Tensor:
        """The combined input features [B, T, D]."""
        masks = masks or Masks()
        x = self.token_embedding(batch["tokens"])
        x = self._add_patches(x, batch, masks, "audio")
        x = self._add_patches(x, batch, masks, "image")
        if "prosody" in batch:
            present = prosody_present(batch)
            features = self.prosody_projection(batch["prosody"].nan_to_num(0.0).to(x.dtype))
            x = x + self._masked("prosody", features, masks) * _shown("prosody", present, masks, x.dtype)
        if "sentiment" in batch:
            present = batch["sentiment"] >= 0
            features = self.sentiment_embedding(batch["sentiment"].clamp(min=0))
            x = x + features * _shown("sentiment", present, masks, x.dtype)
        if len(batch.get("speaker_vectors", ())):
            features = self.speaker_projection(batch["speaker_vectors"].to(x.dtype))[batch["speaker"].clamp(min=0)]
            x = x + features * _shown("speaker", batch["speaker"] >= 0, masks, x.dtype)
        return x

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits [..., V] of features [..., D]."""
        return hidden @ self.head.T

    @property
    def head(self) -> Tensor:
        """The next-token head's weight [V, D]."""
        return self.token_embedding.weight if self.config.tie_embeddings else self.token_head.weight

    def checkpoint_blocks(self, on: bool = True, offload: bool = False) -> None:
        """Recompute each block in the backward pass; with `offload` what that needs waits in host memory or on disk."""
        self.transformer.checkpointing, self.transformer.offload = on, offload

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write `model.safetensors` and `config.json` into a folder, both whole or not at all."""
        from nymph.model.storage import save_model

        save_model(self, folder)

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str], device: str = "cpu") -> "MultimodalModel":
        """The model in a folder that `save_pretrained` or a checkpoint wrote; NymphError where it does not fit."""
        from nymph.model.storage import load_model

        return load_model(folder, device)

    def _add_patches(self, x: Tensor, batch: Batch, masks: Masks, name: str) -> Tensor:
        """Add what is projected from patches [N, W] at flat positions [N] to x [B, T, D]."""
        if not len(batch.get(name, ())):
            return x
        if not hasattr(self, f"{name}_projection"):
            raise NymphError(f"the batch holds {name!r} but the model has no such slot; set {name}_patch above 0")
        at = batch[f"{name}_index"]
        features = getattr(self, f"{name}_projection")(batch[name].to(x.dtype))
        shown = torch.ones_like(at, dtype=torch.bool)
        if name in masks.masked:
            hidden = masks.masked[name].flatten()[at].unsqueeze(1)
            features = torch.where(hidden, self._mask_of(name).to(features.dtype), features)
        if name in masks.dropped:
            shown = ~masks.dropped[name].flatten()[at]
        return x.flatten(0, 1).index_add(0, at, (features * shown.unsqueeze(1)).to(x.dtype)).view_as(x)

    def _masked(self, name: str, features: Tensor, masks: Masks) -> Tensor:
        if name not in masks.masked:
            return features
        return torch.where(masks.masked[name].unsqueeze(-1), self._mask_of(name).to(features.dtype), features)

    def _mask_of(self, name: str) -> Tensor:
        return self.mask_embedding.weight[FILLED_IN.index(name)]

    def _initialise(self) -> None:
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear | nn.Embedding) and not name.startswith("transformer."):
                nn.init.normal_(module.weight, std=self.config.initial_deviation)
                if isinstance(module, nn.Linear) and module.bias is not None:
                    nn.init.zeros_(module.bias)


def prosody_present(batch: Batch) -> Tensor:
    """Positions [B, T] with any prosody at all; single features may still be NaN there."""
    return ~batch["prosody"].isnan().all(dim=-1)


def _shown(name: str, present: Tensor, masks: Masks, dtype: torch.dtype) -> Tensor:
    """1 where a modality is present and not dropped, as a factor [B, T, 1]."""
    shown = present & ~masks.dropped[name] if name in masks.dropped else present
    return shown.unsqueeze(-1).to(dtype)
