"""What a layer remembers while it generates: per-position features in slots, a ring where the layer is windowed.

A slot remembers the position it holds, so rows of different lengths share a batch, a ring needs no shifting, and
nothing needs to be cleared. mla keeps the latent and one rotary key a position, gqa and mha keys and values; a windowed
layer keeps `window` positions however long the sequence gets.
"""

import torch
from torch import Tensor

from nymph.model.config import ModelConfig

EMPTY = -1
"""Position of a slot that holds nothing."""


class LayerCache:
    """Two buffers [B, C, ...] of one layer and the position each slot holds [B, C]."""

    def __init__(self, slots: int, window: int | None, features: tuple[Tensor, Tensor]) -> None:
        rows = features[0].shape[0]
        self.window = window
        self.slots = slots
        self.used = 0
        self.buffers = tuple(x.new_zeros(rows, slots, *x.shape[2:]) for x in features)
        self.positions = torch.full((rows, slots), EMPTY, device=features[0].device)

    def write(self, features: tuple[Tensor, Tensor], positions: Tensor) -> None:
        """Store features [B, T, ...] of positions [B, T] (EMPTY: skip); of those sharing a slot the last stays."""
        newest = positions.amax(dim=1, keepdim=True)
        row, column = ((positions != EMPTY) & (positions > newest - self.slots)).nonzero(as_tuple=True)
        at = positions[row, column]
        slot = at % self.slots
        for buffer, values in zip(self.buffers, features, strict=True):
            buffer[row, slot] = values[row, column].to(buffer.dtype)
        self.positions[row, slot] = at
        self.used = max(self.used, min(int(newest.max()) + 1, self.slots))

    def read(self) -> tuple[Tensor, Tensor]:
        """The buffers up to the last slot in use."""
        first, second = (buffer[:, : self.used] for buffer in self.buffers)
        return first, second

    def visible(self, positions: Tensor) -> Tensor:
        """Which slots queries at positions [B, Q] see: bool [B, Q, slots in use]."""
        held = self.positions[:, None, : self.used]
        distance = positions[:, :, None] - held
        seen = (held != EMPTY) & (distance >= 0)
        return seen if self.window is None else seen & (distance < self.window)


class Cache:
    """One LayerCache a layer, made when the layer first writes; `capacity` is the longest sequence to come."""

    def __init__(self, config: ModelConfig, capacity: int) -> None:
        self.capacity = capacity
        self._windows = [config.window_of(layer) for layer in range(config.layers)]
        self._layers: dict[int, LayerCache] = {}

    def write(self, layer: int, features: tuple[Tensor, Tensor], positions: Tensor) -> LayerCache:
        """Store a layer's features [B, T, ...] of positions [B, T]; gives the layer's cache."""
        if layer not in self._layers:
            window = self._windows[layer]
            slots = self.capacity if window is None else min(window, self.capacity)
            self._layers[layer] = LayerCache(slots, window, features)
        self._layers[layer].write(features, positions)
        return self._layers[layer]

    def bytes_held(self) -> int:
        """Bytes of all feature buffers."""
        return sum(b.numel() * b.element_size() for layer in self._layers.values() for b in layer.buffers)
