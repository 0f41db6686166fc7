"""What a layer remembers while it generates: per-position features in slots, a ring where the layer is windowed.

A slot remembers the position it holds, so rows of different lengths share a batch, a ring needs no shifting, and
nothing needs to be cleared. mla keeps the latent and one rotary key a position, gqa and mha keys and values; a windowed
layer keeps `window` positions however long the sequence gets. Where all rows are equally long every slot in use is
visible to the next position, and attention runs without a mask.
"""

from typing import Any

import torch
from torch import Tensor

from nymph.model.config import ModelConfig

EMPTY = -1
"""Position of a slot that holds nothing."""


class LayerCache:
    """Buffers [B, C, ...] of one layer and the position each slot holds [B, C]."""

    def __init__(self, slots: int, window: int | None, features: tuple[Tensor, ...]) -> None:
        rows = features[0].shape[0]
        self.window = window
        self.slots = slots
        self.length = 0
        self.aligned = True
        self.buffers = tuple(x.new_zeros(rows, slots, *x.shape[2:]) for x in features)
        self.positions = torch.full((rows, slots), EMPTY, device=features[0].device)

    def fill(self, features: tuple[Tensor, ...], positions: Tensor) -> None:
        """Store a prompt's features [B, T, ...] at positions [B, T] (EMPTY at padding); a ring keeps its last."""
        newest = positions.amax(dim=1, keepdim=True)
        row, column = ((positions != EMPTY) & (positions > newest - self.slots)).nonzero(as_tuple=True)
        at = positions[row, column]
        for buffer, values in zip(self.buffers, features, strict=True):
            buffer[row, at % self.slots] = values[row, column].to(buffer.dtype)
        self.positions[row, at % self.slots] = at
        self.length = int(newest.max()) + 1
        self.aligned = bool((positions == torch.arange(positions.shape[1], device=positions.device)).all())

    def append(self, features: tuple[Tensor, ...], positions: Tensor) -> None:
        """Store one position a row: features [B, 1, ...] at positions [B, 1], each row's next."""
        at: tuple[Any, Any] = (slice(None), self.length % self.slots)
        if not self.aligned:
            at = (torch.arange(len(positions), device=positions.device), positions[:, 0] % self.slots)
        for buffer, values in zip(self.buffers, features, strict=True):
            buffer[at] = values[:, 0].to(buffer.dtype)
        self.positions[at] = positions[:, 0]
        self.length += 1

    @property
    def used(self) -> int:
        """Slots that the longest row has filled."""
        return min(self.length, self.slots)

    def read(self) -> tuple[Tensor, ...]:
        """The buffers up to the last slot in use."""
        return tuple(buffer[:, : self.used] for buffer in self.buffers)

    def visible(self, positions: Tensor) -> Tensor | None:
        """Which slots queries at positions [B, 1] see: bool [B, 1, 1, slots in use], or None for all of them."""
        if self.aligned:
            return None
        held = self.positions[:, : self.used]
        distance = positions - held
        seen = (held != EMPTY) & (distance >= 0)
        seen = seen if self.window is None else seen & (distance < self.window)
        return seen[:, None, None]


class Cache:
    """One LayerCache a layer, made when the layer first writes; `capacity` is the longest sequence to come."""

    def __init__(self, config: ModelConfig, capacity: int) -> None:
        self.capacity = capacity
        self._windows = [config.window_of(layer) for layer in range(config.layers)]
        self._layers: dict[int, LayerCache] = {}

    def fill(self, layer: int, features: tuple[Tensor, ...], positions: Tensor) -> None:
        """Store a layer's features [B, T, ...] of a prompt at positions [B, T], EMPTY at padding."""
        window = self._windows[layer]
        slots = self.capacity if window is None else min(window, self.capacity)
        self._layers[layer] = LayerCache(slots, window, features)
        self._layers[layer].fill(features, positions)

    def append(self, layer: int, features: tuple[Tensor, ...], positions: Tensor) -> LayerCache:
        """Store a layer's features [B, 1, ...] of the next position of each row; gives the layer's cache."""
        self._layers[layer].append(features, positions)
        return self._layers[layer]

    def bytes_held(self) -> int:
        """Bytes of all feature buffers."""
        return sum(b.numel() * b.element_size() for layer in self._layers.values() for b in layer.buffers)
