"""Context parallelism for global latent layers: a sequence cut over ranks, latents passed round a ring.

Every rank holds T / world consecutive positions of each row. For attention over all of them the blocks of *latents*
(latent + rotary key: L + R features, not heads x (key + value)) travel round the ring, each rank expands the block it
has, attends with its own queries and merges the partial results by their log-sum-exp (Ring Attention,
arXiv:2310.01889). The backward pass sends the blocks round again, their gradients beside them. It trades a second
expansion of every block for never sending or storing expanded keys and values. Windowed layers need no ring, only the
last `window` - 1 latents of the rank before (`halo`). CPU kernels; one document a row.

Shapes: B rows, S positions of this rank, H heads, L latent, R rotary, N nope, V value features.
"""

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from nymph.errors import NymphError
from nymph.model.packing import Layout, Segment


class Ring(NamedTuple):
    """The ranks a sequence is cut over, in the order of its positions."""

    group: dist.ProcessGroup

    @property
    def rank(self) -> int:
        """Which block of positions this rank holds."""
        return dist.get_rank(self.group)

    @property
    def world(self) -> int:
        """Blocks of a sequence."""
        return dist.get_world_size(self.group)

    def shift(self, *blocks: Tensor, steps: int = 1) -> list[Tensor]:
        """Send tensors `steps` ranks on, receive those of the rank as many before."""
        received = [torch.empty_like(block) for block in blocks]
        after = dist.get_global_rank(self.group, (self.rank + steps) % self.world)
        before = dist.get_global_rank(self.group, (self.rank - steps) % self.world)
        operations = []
        for block, place in zip(blocks, received, strict=True):
            operations.append(dist.P2POp(dist.isend, block.contiguous(), after, self.group))
            operations.append(dist.P2POp(dist.irecv, place, before, self.group))
        for request in dist.batch_isend_irecv(operations):
            request.wait()
        return received


class _Halo(torch.autograd.Function):
    """The rank before's last positions of x; the gradient goes back to it. The first rank gets zeros nobody may see."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, size: int, ring: Ring) -> Tensor:
        ctx.length, ctx.ring = x.shape[1], ring
        (received,) = ring.shift(x[:, x.shape[1] - size :])
        return received if ring.rank else torch.zeros_like(received)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        own = gradients[0] if ctx.ring.rank else torch.zeros_like(gradients[0])
        (returned,) = ctx.ring.shift(own, steps=-1)
        return F.pad(returned, (0, 0, ctx.length - returned.shape[1], 0)), None, None


def windowed_halo(latents: Tensor, window: int, ring: Ring) -> tuple[Tensor, Layout]:
    """Latents [B, window - 1 + S, C] a windowed layer of this rank looks at, and which of them exist."""
    rows, length = latents.shape[:2]
    size = window - 1
    if length < size:
        raise NymphError(
            f"a rank holds {length} positions, fewer than the {size} its window looks back; use fewer ranks"
        )
    start = 0 if ring.rank else size
    layout = Layout(rows, size + length, (Segment(0, rows, start, size + length),))
    return torch.cat((_Halo.apply(latents, size, ring), latents), dim=1), layout


class RingLatentAttention(torch.autograd.Function):
    """apply(query_BSHK, latents_BSC, up_weight, widths, scale, ring) -> out_BSHV; C = L + R, widths = (L, N, V)."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, latents: Tensor, up: Tensor, widths: tuple[int, int, int], scale: float, ring: Ring
    ) -> Tensor:
        block, out, lse = latents, None, None
        for step in range(ring.world):
            if step <= ring.rank:
                part = _attend(query, *_expand(block, up, widths, query.shape[2]), step == 0, scale)
                out, lse = part if out is None or lse is None else _merge(out, lse, *part)
            if step + 1 < ring.world:
                (block,) = ring.shift(block)
        assert out is not None
        ctx.save_for_backward(query, latents, up, out, lse)
        ctx.widths, ctx.scale, ctx.ring = widths, scale, ring
        return out[..., : widths[2]].transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, block, up, out, lse = ctx.saved_tensors
        heads, ring = query.shape[2], ctx.ring
        dout = F.pad(gradients[0].transpose(1, 2), (0, out.shape[-1] - ctx.widths[2]))
        dquery, dblock, dup = torch.zeros_like(query), torch.zeros_like(block), torch.zeros_like(up)
        for step in range(ring.world):
            if step <= ring.rank:
                key, value = _expand(block, up, ctx.widths, heads)
                dq, dk, dv = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
                    dout, query.transpose(1, 2), key, value, out, lse, 0.0, step == 0, scale=ctx.scale
                )
                dquery += dq.transpose(1, 2)
                _expand_backward(block, up, ctx.widths, dk, dv, dblock, dup)
            block, dblock = ring.shift(block, dblock)
        return dquery, dblock, dup, None, None, None


def _attend(query: Tensor, key: Tensor, value: Tensor, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query.transpose(1, 2), key, value, 0.0, causal, scale=scale
    )
    return out, lse


def _merge(out: Tensor, lse: Tensor, other: Tensor, other_lse: Tensor) -> tuple[Tensor, Tensor]:
    total = torch.logaddexp(lse, other_lse)
    return out * (lse - total).exp().unsqueeze(-1) + other * (other_lse - total).exp().unsqueeze(-1), total


def _expand(block: Tensor, up: Tensor, widths: tuple[int, int, int], heads: int) -> tuple[Tensor, Tensor]:
    """Keys and values [B, H, S, K] of a block of latents, values widened to the keys' width."""
    latent, nope, value = widths
    expanded = (block[..., :latent] @ up.T).unflatten(-1, (heads, nope + value)).transpose(1, 2)
    rotary = block[..., latent:].unsqueeze(1).expand(-1, heads, -1, -1)
    key = torch.cat((expanded[..., :nope], rotary), dim=-1)
    return key, F.pad(expanded[..., nope:], (0, key.shape[-1] - value))


def _expand_backward(
    block: Tensor, up: Tensor, widths: tuple[int, int, int], dk: Tensor, dv: Tensor, dblock: Tensor, dup: Tensor
) -> None:
    """Add to the gradients of a block of latents and of the up-projection."""
    latent, nope, value = widths
    expanded = torch.cat((dk[..., :nope], dv[..., :value]), dim=-1).transpose(1, 2).flatten(2)
    dblock[..., :latent] += expanded @ up
    dblock[..., latent:] += dk[..., nope:].sum(dim=1)
    dup += expanded.flatten(0, 1).T @ block[..., :latent].flatten(0, 1)
