"""Windowed attention through torch's FlexAttention (arXiv:2412.05496), compiled by Triton: CUDA sm70 and up.

The blocks of the band are counted out from the window, never searched for in a T x T mask. Documents need no blocks of
their own: the mask inside a block keeps them apart.

Shapes: B rows, T positions, H heads, K features of queries and keys, V of values.
"""

import importlib.util
from functools import cache, lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from nymph.model.packing import Layout

_BLOCK = 128
"""Positions in a block of the mask, as FlexAttention's kernels prefer."""


def can_compile(capability: tuple[int, int] | None) -> bool:
    """Whether Triton is there and compiles for a CUDA capability."""
    return capability is not None and capability >= (7, 0) and importlib.util.find_spec("triton") is not None


def attend_flex(q: Tensor, k: Tensor, v: Tensor, layout: Layout, window: int, scale: float) -> Tensor:
    """q [B, T, H, K], k [B, T, H, K], v [B, T, H, V] -> [B, T, H, V]; padding sees padding alone."""
    heads = (x.transpose(1, 2) for x in (q, k, v))
    mask = band(layout, window, q.device)
    run: Any = _compiled() if q.is_cuda else flex_attention
    return run(*heads, block_mask=mask, scale=scale).transpose(1, 2)


@lru_cache(maxsize=4)
def band(layout: Layout, window: int, device: torch.device) -> BlockMask:
    """The blocks that a window touches, and what is seen inside of them."""
    document = layout.documents(device)

    def seen(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        near = (query >= key) & (query - key < window)
        return near & (document[row, query] == document[row, key])

    last = torch.arange(-(-layout.length // _BLOCK), device=device, dtype=torch.int32)
    first = ((last * _BLOCK - window + 1) // _BLOCK).clamp(min=0)
    number = last - first + 1
    columns = first[:, None] + torch.arange(len(last), device=device, dtype=torch.int32)
    indices = torch.where(columns <= last[:, None], columns, 0)
    shape = (layout.rows, 1)
    return BlockMask.from_kv_blocks(
        number.expand(*shape, -1).contiguous(), indices.expand(*shape, -1, -1).contiguous(),
        BLOCK_SIZE=_BLOCK, mask_mod=seen, seq_lengths=(layout.length, layout.length),
    )  # fmt: skip


@cache
def _compiled() -> Any:
    return torch.compile(flex_attention)
