"""Exact causal attention over packed documents on CPU, full or windowed, as one autograd function.

Torch's CPU flash kernels know no window. Here a windowed segment is cut into narrow blocks: the forward pass takes a
block of queries with the `window` keys before it, the backward pass a block of keys with the `window` queries after it,
so that the gradients of keys and values are whole at once and only those of queries are added up. A mask of one
block's size, shared by all blocks, cuts the two edges of the band; what the kernel computes there in vain is
block / (window + block) of the work. Heads are laid out one after the other, a stretch of positions at a time: the
kernels read their rows faster so, and a copy of everything would cost memory at 262,144 positions.

The backward pass hands output and log-sum-exp to the kernel's own backward, so it recomputes like FlashAttention
(arXiv:2307.08691) and keeps nothing but q, k, v, the output and one number a query. It trades a private torch operator
(checked by the tests on every torch release) for the speed of unmasked attention.

Shapes: B rows, T positions, H heads, D features; R rows x heads of a stretch of S positions; N blocks of n positions.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nymph.model.packing import Layout

_BLOCK = 96
"""Positions in a block: large enough for the kernel's matrix products, small beside the window."""
_STRETCH = 4096
"""Positions whose heads are laid out one after the other at once."""
_NUMBERS = 1 << 21
"""Numbers of one operand handed to a kernel at once: 8 MiB stay in the processor's cache."""


class _Stretch(NamedTuple):
    """Positions start:stop of rows first:last: queries in the forward pass, keys in the backward pass."""

    first: int
    last: int
    start: int
    stop: int
    causal: bool
    """Look at themselves alone."""


class BandedAttention(torch.autograd.Function):
    """apply(q_BTHD, k_BTHD, v_BTHD, layout, window, scale) -> out_BTHD; zeros at padding."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, layout: Layout, window: int | None, scale: float) -> Tensor:
        out = torch.empty_like(q) if layout.is_whole else torch.zeros_like(q)
        lse = q.new_zeros(q.shape[:3], dtype=torch.float64 if q.dtype == torch.float64 else torch.float32)
        for stretch in _stretches(layout, window, causal_first=True):
            if stretch.causal:
                _forward_causal(stretch, (q, k, v), (out, lse), scale)
            elif window:
                _forward_blocks(stretch, (q, k, v), (out, lse), window, scale)
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.layout, ctx.window, ctx.scale = layout, window, scale
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        saved = (gradients[0], *ctx.saved_tensors)
        found = tuple(torch.zeros_like(x) for x in saved[1:4])
        for stretch in _stretches(ctx.layout, ctx.window, causal_first=False):
            if stretch.causal:
                _backward_causal(stretch, saved, found, ctx.scale)
            elif ctx.window:
                _backward_blocks(stretch, saved, found, ctx.window, ctx.scale)
        return *found, None, None, None


def _stretches(layout: Layout, window: int | None, causal_first: bool) -> Iterator[_Stretch]:
    """Cut each segment: one window's length at its beginning (or end) is plain causal, the rest goes in blocks."""
    for first, last, start, stop in ((s.first, s.last, s.start, s.stop) for s in layout.segments):
        whole = stop - start if window is None else min(stop - start, window)
        at, end = (start + whole, stop) if causal_first else (start, stop - whole)
        yield _Stretch(first, last, *((start, at) if causal_first else (end, stop)), causal=True)
        for begin in range(at, end, _STRETCH):
            yield _Stretch(first, last, begin, min(begin + _STRETCH, end), causal=False)


def _forward_causal(stretch: _Stretch, heads: tuple[Tensor, ...], results: tuple[Tensor, ...], scale: float) -> None:
    found = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        *(_part(x, stretch) for x in heads), 0.0, True, scale=scale
    )
    for total, part in zip(results, found, strict=True):
        _part(total, stretch).copy_(part)


def _backward_causal(stretch: _Stretch, saved: tuple[Tensor, ...], totals: tuple[Tensor, ...], scale: float) -> None:
    found = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
        *(_part(x, stretch) for x in saved), 0.0, True, scale=scale
    )
    for total, part in zip(totals, found, strict=True):
        _part(total, stretch).add_(part)


def _forward_blocks(
    stretch: _Stretch, heads: tuple[Tensor, ...], results: tuple[Tensor, ...], window: int, scale: float
) -> None:
    """Fill in the output and log-sum-exp of a stretch's queries, each of which sees `window` keys."""
    queries = _laid_out(heads[0], stretch)
    keys, values = (_laid_out(x, stretch, before=window) for x in heads[1:])
    mask = _edges(queries, window)
    for start, size, blocks in _blocks(queries, window):
        seen = window + size
        found = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            _windows(queries, start, size, blocks, size), _windows(keys, start, seen, blocks, size),
            _windows(values, start, seen, blocks, size), 0.0, False, attn_mask=mask[:size, :seen], scale=scale,
        )  # fmt: skip
        for total, part in zip(results, found, strict=True):
            _put(total, part, stretch, start)


def _backward_blocks(
    stretch: _Stretch, saved: tuple[Tensor, ...], totals: tuple[Tensor, ...], window: int, scale: float
) -> None:
    """Fill in the gradients of a stretch's keys and values, add what they mean for the queries that see them."""
    gradient, queries, outs, lses = (_laid_out(saved[i], stretch, after=window) for i in (0, 1, 4, 5))
    keys, values = (_laid_out(saved[i], stretch) for i in (2, 3))
    mask, dqueries = _edges(keys, window).flip(0, 1).T, torch.zeros_like(queries)
    for start, size, blocks in _blocks(keys, window):
        seen = size + window
        windows = [_windows(x, start, seen, blocks, size) for x in (gradient, queries, outs, lses)]
        dq, *found = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
            windows[0], windows[1], _windows(keys, start, size, blocks, size),
            _windows(values, start, size, blocks, size), windows[2], windows[3], 0.0, False,
            attn_mask=mask[:seen, :size], scale=scale,
        )  # fmt: skip
        for block, part in enumerate(dq.unbind(1)):
            dqueries[:, start + block * size :][:, :seen].add_(part)
        for total, part in zip(totals[1:], found, strict=True):
            _put(total, part, stretch, start)
    _part(totals[0], stretch, after=window).add_(dqueries.unflatten(0, (-1, totals[0].shape[2])))


def _edges(like: Tensor, window: int) -> Tensor:
    """What n queries see of the window + n keys up to the last of them: 0, elsewhere -inf."""
    distance = torch.arange(_BLOCK)[:, None] + window - torch.arange(window + _BLOCK)
    return like.new_zeros(distance.shape).masked_fill_((distance < 0) | (distance >= window), float("-inf"))


def _blocks(x: Tensor, window: int) -> Iterator[tuple[int, int, int]]:
    """(start, size, number) of the blocks of x [R, S, D] that go to a kernel together; what is left over goes last."""
    at_once = max(1, -(-torch.get_num_threads() // len(x)), _NUMBERS // (len(x) * x.shape[2] * (window + _BLOCK)))
    whole = x.shape[1] // _BLOCK
    for block in range(0, whole, at_once):
        yield block * _BLOCK, _BLOCK, min(at_once, whole - block)
    if x.shape[1] % _BLOCK:
        yield whole * _BLOCK, x.shape[1] % _BLOCK, 1


def _part(x: Tensor, stretch: _Stretch, after: int = 0) -> Tensor:
    """A stretch's positions of x [B, T, H, ...], and `after` more, as a view [rows, H, S, ...]."""
    return x[stretch.first : stretch.last, stretch.start : stretch.stop + after].transpose(1, 2)


def _laid_out(x: Tensor, stretch: _Stretch, before: int = 0, after: int = 0) -> Tensor:
    """A stretch's positions of x [B, T, H, ...] and its neighbours', head after head: [R, S, ...]."""
    wider = stretch._replace(start=stretch.start - before, stop=stretch.stop + after)
    return _part(x, wider).contiguous().flatten(0, 1)


def _windows(x: Tensor, start: int, size: int, blocks: int, step: int) -> Tensor:
    """Windows of x [R, S, ...], `step` apart, as a view [R, N, size, ...]: a head's blocks follow each other."""
    windows = x[:, start : start + (blocks - 1) * step + size].unfold(1, size, step)
    return windows.movedim(-1, 2)


def _put(total: Tensor, part: Tensor, stretch: _Stretch, start: int) -> None:
    """Write what a kernel found, [R, N, n, ...], to its positions of total [B, T, H, ...]."""
    own = _part(total, stretch)[:, :, start : start + part.shape[1] * part.shape[2]]
    own.unflatten(2, part.shape[1:3]).copy_(part.unflatten(0, own.shape[:2]))
