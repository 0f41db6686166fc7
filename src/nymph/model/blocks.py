"""Windowed causal attention of one document in plain matrix products: a block of queries with the window before it.

A block's scores stay in the processor's cache, and every product is large enough for the matrix library's full speed,
which narrow calls of a fused kernel do not reach. Softmax is worked out anew in the backward pass, so nothing but
q, k, v is kept. What is computed in vain, at the two edges of the band, is block / (window + block) of the work.

Shapes: R heads, S positions, K features of queries and keys, V of values; all may be views. float32 or float64.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

_SCORES = 1 << 18
"""Scores worked on at once: 1 MiB of float32 stays in a core's cache."""


class _Scratch(NamedTuple):
    """Memory that every block of a pass uses again."""

    future: Tensor
    """-inf where a query meets one of its block's later keys [n, n]."""
    past: Tensor
    """-inf where a query meets one of the n oldest keys that has left its window [n, n]."""
    buffers: tuple[Tensor, Tensor]


def forward(heads: tuple[Tensor, Tensor, Tensor], out: Tensor, window: int, scale: float) -> None:
    """Fill out [R, S, V] from q [R, S, K], k [R, S, K] and v [R, S, V]."""
    scratch = _scratch(out, window)
    parts = _together((*heads, out), window)
    for own, seen in _blocks(out.shape[1], window):
        for q, k, v, target in parts:
            weights = _weights(q[:, own], k[:, seen], window, scale, scratch)
            torch.bmm(weights, v[:, seen], out=target[:, own])


def backward(
    gradient: Tensor,
    heads: tuple[Tensor, Tensor, Tensor],
    found: tuple[Tensor, Tensor, Tensor],
    window: int,
    scale: float,
) -> None:
    """Fill `found` with the gradients of q, k, v, given the output's `gradient` [R, S, V]."""
    scratch = _scratch(gradient, window)
    parts = _together((gradient, *heads, *found), window)
    for own, seen in _blocks(gradient.shape[1], window):
        for do, q, k, v, dq, dk, dv in parts:
            dk[:, own].zero_()  # here rather than all at once before: they are used while in the cache
            dv[:, own].zero_()
            weights = _weights(q[:, own], k[:, seen], window, scale, scratch)
            scores = _shaped(scratch.buffers[1], *weights.shape)
            torch.bmm(do[:, own], v[:, seen].mT, out=scores)
            dv[:, seen].baddbmm_(weights.mT, do[:, own])
            torch.ops.aten._softmax_backward_data.out(scores, weights, -1, weights.dtype, grad_input=scores)
            dq[:, own].baddbmm_(scores, k[:, seen], beta=0, alpha=scale)
            dk[:, seen].baddbmm_(scores.mT, q[:, own], alpha=scale)


def _block(window: int) -> int:
    """Positions in a block: small beside the window, but not too small for the products."""
    return min(max(64, window // 8), 96)


def _heads_at_once(window: int) -> int:
    """Heads that go through a product together: enough for every thread, as many as the cache holds."""
    return max(torch.get_num_threads(), _SCORES // (_block(window) * (window + _block(window))))


def _blocks(length: int, window: int) -> Iterator[tuple[slice, slice]]:
    """(a block's queries, the keys that any of them sees)."""
    size = _block(window)
    for start in range(0, length, size):
        stop = min(start + size, length)
        yield slice(start, stop), slice(max(0, start - window), stop)


def _weights(q: Tensor, k: Tensor, window: int, scale: float, scratch: _Scratch) -> Tensor:
    """Attention weights [R, n, m] of n queries over the m keys up to the last of them, in scratch memory."""
    size, seen = q.shape[1], k.shape[1]
    scores = _shaped(scratch.buffers[0], len(q), size, seen)
    scores.baddbmm_(q, k.mT, beta=0, alpha=scale)
    scores[:, :, -size:].add_(scratch.future[:size, :size])
    left = seen - window
    if left > 0:
        scores[:, size - left :, :left].add_(scratch.past[:left, :left])
    return torch.softmax(scores, dim=-1, out=scores)


def _together(tensors: tuple[Tensor, ...], window: int) -> list[tuple[Tensor, ...]]:
    """The same few heads of each tensor [R, ...], all of them for each block: positions are read from memory once."""
    return list(zip(*(x.split(_heads_at_once(window)) for x in tensors), strict=True))


def _scratch(like: Tensor, window: int) -> _Scratch:
    size = _block(window)
    later = torch.ones(size, size, dtype=torch.bool).triu(1)
    numbers = min(len(like), _heads_at_once(window)) * size * (window + size)
    first, second = like.new_zeros(size, size), like.new_zeros(size, size)
    return _Scratch(
        first.masked_fill_(later, float("-inf")),
        second.masked_fill_(~later, float("-inf")),
        (like.new_empty(numbers), like.new_empty(numbers)),
    )


def _shaped(buffer: Tensor, *shape: int) -> Tensor:
    return buffer[: shape[0] * shape[1] * shape[2]].view(shape)
