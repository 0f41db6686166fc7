"""CustomTransformer: pre-norm blocks of attention and SwiGLU over features [B, T, D].

It knows nothing of modalities or vocabularies. Rotations and the layout of documents are worked out once and shared by
all layers. Gradient checkpointing trades a second forward pass of each block for its activations: it keeps the inputs
of both halves, and goes through the wide feed-forward piece by piece, so that at 262,144 positions its hidden features
are never there at once. Of global layers it keeps what attention found, for at such lengths that is most of the work.
With `offload` what is kept waits elsewhere (`nymph.model.offload`).
"""

import math
from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

from nymph.model.attention import GroupedAttention, LatentAttention, Place, build_attention
from nymph.model.cache import Cache
from nymph.model.config import ModelConfig
from nymph.model.layers import RMSNorm, SwiGLU
from nymph.model.offload import offloaded
from nymph.model.packing import Layout, positions_of
from nymph.model.ring import Ring
from nymph.model.rope import Rotation, rotation

PIECE = 8192
"""Positions that go through a feed-forward at once under gradient checkpointing."""
_KEPT = [
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
    torch.ops.aten._flash_attention_forward.default,
    torch.ops.aten._efficient_attention_forward.default,
]
"""Kernels whose results a global layer keeps under gradient checkpointing: their time grows with the square of the
positions, their results do not."""
_keep_attention = partial(create_selective_checkpoint_contexts, _KEPT)


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
        return self.feed(self.look(x, place))

    def look(self, x: Tensor, place: Place) -> Tensor:
        """The attention half."""
        return x + self.attention(self.attention_norm(x), place)

    def feed(self, x: Tensor) -> Tensor:
        """The feed-forward half; it treats each position alone."""
        return x + self.feed_forward(self.feed_forward_norm(x))


class CustomTransformer(nn.Module):
    """The stack of blocks and the final norm; options in ModelConfig."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.norm = RMSNorm(config.width, eps=config.norm_epsilon)
        self.checkpointing, self.offload, self.compiled = False, False, False
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
        return self._run(x, position, Place(layout, kept, cache))

    def over_ranks(self, x: Tensor, ring: Ring) -> Tensor:
        """This rank's positions of rows cut over a ring of ranks: x [B, S, D] -> [B, S, D], S the same on each rank.

        One document a row, mla only. Every rank then holds its share of the gradients: sum them.
        """
        rows, length = x.shape[:2]
        position = (torch.arange(length, device=x.device) + ring.rank * length).expand(rows, length)
        return self._run(x, position, Place(Layout.whole(rows, length), position, ring=ring))

    def step(self, x: Tensor, position: Tensor, cache: Cache) -> Tensor:
        """The next position of each row: x [B, 1, D] at position [B, 1] -> [B, 1, D], against a filled cache."""
        return self._run(x, position, Place(None, position, cache))

    def compile_blocks(self, backend: str = "inductor") -> None:
        """Compile what lies around the attention kernels: these are compiled already, and where documents end changes
        from batch to batch, so that their calls would be compiled again for each."""
        for block in self.blocks:
            attention = block.get_submodule("attention")
            assert isinstance(attention, LatentAttention | GroupedAttention)
            for module, name in ((block, "feed"), *((attention, name) for name in attention.compiled)):
                setattr(module, name, torch.compile(getattr(module, name), backend=backend))
        self.compiled = True

    def _run(self, x: Tensor, position: Tensor, place: Place) -> Tensor:
        places = {windowed: place._replace(rotation=self._rotation(position, windowed)) for windowed in (True, False)}
        checkpointing = self.checkpointing and torch.is_grad_enabled()
        with offloaded(x.device) if checkpointing and self.offload else nullcontext():
            for layer, block in enumerate(self.blocks):
                assert isinstance(block, Block)
                windowed = self.config.window_of(layer) is not None
                here = places[windowed]
                kept = not (windowed or self.compiled or place.ring)
                x = _recomputed(block, x, here, kept) if checkpointing else block(x, here)
        return self.norm(x)

    def _rotation(self, position: Tensor, windowed: bool) -> Rotation:
        attention = self.config.attention
        return rotation(position, attention.rope or self.config.head_width, self.config.rope, windowed)

    def _initialise(self) -> None:
        deviation = self.config.initial_deviation
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                residual = name.endswith(("output.weight", "down.weight")) and "_down" not in name
                scale = 1 / math.sqrt(2 * self.config.layers) if residual else 1.0
                nn.init.normal_(parameter, std=deviation * scale)


def _recomputed(block: Block, x: Tensor, place: Place, kept: bool) -> Tensor:
    """The block, to be run again in the backward pass, its attention kernel only if that is not `kept`.

    What the steps of a ring find, one after the other, would be as long as the row, and torch's compiler (2.8) gives up
    on code that something looks into.
    """
    look = partial(checkpoint, block.look, x, place, use_reentrant=False)
    x = look(context_fn=_keep_attention) if kept else look()
    return torch.cat([checkpoint(block.feed, piece, use_reentrant=False) for piece in x.split(PIECE, dim=1)], dim=1)
