"""CustomTransformer: pre-norm blocks of attention and SwiGLU over features [B, T, D].

It knows nothing of modalities or vocabularies. Rotations and the layout of documents are worked out once and shared by
all layers. Gradient checkpointing trades a second forward pass of each block for its activations; with `offload` the
blocks' inputs wait in host memory.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import save_on_cpu
from torch.utils.checkpoint import checkpoint

from nymph.model.attention import Place, build_attention
from nymph.model.cache import Cache
from nymph.model.config import ModelConfig
from nymph.model.layers import RMSNorm, SwiGLU
from nymph.model.packing import Layout, positions_of
from nymph.model.rope import rotation


class Block(nn.Module):
    """One layer: attention, then SwiGLU, each on a normalised copy and added back."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.width, eps=config.norm_epsilon)
        self.attention = build_attention(config, layer)
        self.feed_forward_norm = RMSNorm(config.width, eps=config.norm_epsilon)
        self.feed_forward = SwiGLU(config)

    def forward(self, x: Tensor, place: Place) -> Tensor:
        """x [B, T, D] -> [B, T, D]."""
        x = x + self.attention(self.attention_norm(x), place)
        return x + self.feed_forward(self.feed_forward_norm(x))


class CustomTransformer(nn.Module):
    """The stack of blocks and the final norm; options in ModelConfig."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.norm = RMSNorm(config.width, eps=config.norm_epsilon)
        self.checkpointing, self.offload = False, False
        self._initialise()

    def forward(
        self, x: Tensor, document: Tensor | None = None, position: Tensor | None = None, cache: Cache | None = None
    ) -> Tensor:
        """Features x [B, T, D] -> [B, T, D].

        `document` [B, T] (0 padding) keeps packed documents apart; None is one document a row. `position` [B, T] counts
        from 0 in each. An empty `cache` is filled for `step`, with one document a row.
        """
        rows, length = x.shape[:2]
        layout = Layout.whole(rows, length) if document is None else Layout.of(document)
        if position is None:
            one = torch.ones(rows, length, dtype=torch.long, device=x.device)
            position = positions_of(one if document is None else document)
        kept = position if document is None else torch.where(document > 0, position, -1)
        return self._run(x, layout, position, kept, cache)

    def step(self, x: Tensor, position: Tensor, cache: Cache) -> Tensor:
        """The next position of each row: x [B, 1, D] at position [B, 1] -> [B, 1, D], against a filled cache."""
        return self._run(x, None, position, position, cache)

    def _run(self, x: Tensor, layout: Layout | None, position: Tensor, kept: Tensor, cache: Cache | None) -> Tensor:
        places = {
            windowed: Place(self._rotation(position, windowed), layout, kept, cache) for windowed in (True, False)
        }
        for layer, block in enumerate(self.blocks):
            x = self._block(block, x, places[self.config.window_of(layer) is not None])
        return self.norm(x)

    def _rotation(self, position: Tensor, windowed: bool) -> tuple[Tensor, Tensor]:
        attention = self.config.attention
        return rotation(position, attention.rope or self.config.head_width, self.config.rope, windowed)

    def _block(self, block: nn.Module, x: Tensor, place: Place) -> Tensor:
        if not (self.checkpointing and torch.is_grad_enabled()):
            return block(x, place)
        keep: Any = (
            save_on_cpu(pin_memory=x.is_cuda)
            if self.offload
            else torch.autograd.graph.saved_tensors_hooks(_same, _same)
        )
        with keep:
            return checkpoint(block, x, place, use_reentrant=False)

    def _initialise(self) -> None:
        deviation = self.config.initial_deviation
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                residual = name.endswith(("output.weight", "down.weight")) and "_down" not in name
                scale = 1 / math.sqrt(2 * self.config.layers) if residual else 1.0
                nn.init.normal_(parameter, std=deviation * scale)


def _same(x: Tensor) -> Tensor:
    return x
