"""Exact causal attention over packed documents on CPU, full or windowed, as one autograd function.

Torch's CPU flash kernels know no window. They do the documents that fit into one (or where there is none); longer ones
go by blocks of matrix products (`nymph.model.blocks`). No T x T scores ever exist, and the backward pass recomputes
them like FlashAttention (arXiv:2307.08691): it keeps q, k, v, the output and one number a query.

It trades private torch operators (checked by the tests on every torch release) for the speed of unmasked attention.

Shapes: B rows, T positions, H heads, D features; S positions of a document.
"""

from typing import Any

import torch
from torch import Tensor

from nymph.model import blocks
from nymph.model.packing import Layout, Segment


class BandedAttention(torch.autograd.Function):
    """apply(q_BTHD, k_BTHD, v_BTHD, layout, window, scale) -> out_BTHD; zeros at padding. float32 or float64."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, layout: Layout, window: int | None, scale: float) -> Tensor:
        ctx.layout, ctx.window, ctx.scale = layout, window, scale
        if _is_one_call(layout, window):
            out, lse = _forward_causal(layout.segments[0], (q, k, v), scale)
        else:
            out = torch.empty_like(q) if layout.is_whole else torch.zeros_like(q)
            lse = q.new_zeros(q.shape[:3], dtype=torch.float64 if q.dtype == torch.float64 else torch.float32)
            for segment in layout.segments:
                if _fits(segment, window):
                    _put(_forward_causal(segment, (q, k, v), scale), (out, lse), segment)
                else:
                    _forward_windowed(segment, (q, k, v), out, window or 0, scale)
        ctx.save_for_backward(q, k, v, out, lse)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        saved = (gradients[0], *ctx.saved_tensors)
        if _is_one_call(ctx.layout, ctx.window):
            return *_backward_causal(ctx.layout.segments[0], saved, ctx.scale), None, None, None
        empty = torch.empty_like if ctx.layout.is_whole else torch.zeros_like
        found = tuple(empty(x) for x in saved[1:4])
        for segment in ctx.layout.segments:
            if _fits(segment, ctx.window):
                _put(_backward_causal(segment, saved, ctx.scale), found, segment)
            else:
                _backward_windowed(segment, saved[:4], found, ctx.window, ctx.scale)
        return *found, None, None, None


def _is_one_call(layout: Layout, window: int | None) -> bool:
    """Whether what torch's kernel returns is the result as it is."""
    return layout.is_whole and _fits(layout.segments[0], window)


def _fits(segment: Segment, window: int | None) -> bool:
    return window is None or segment.stop - segment.start <= window


def _forward_causal(segment: Segment, heads: tuple[Tensor, ...], scale: float) -> tuple[Tensor, ...]:
    found = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        *(_part(x, segment).transpose(1, 2) for x in heads), 0.0, True, scale=scale
    )
    return tuple(x.transpose(1, 2) for x in found)


def _backward_causal(segment: Segment, saved: tuple[Tensor, ...], scale: float) -> tuple[Tensor, ...]:
    found = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
        *(_part(x, segment).transpose(1, 2) for x in saved), 0.0, True, scale=scale
    )
    return tuple(x.transpose(1, 2) for x in found)


def _put(found: tuple[Tensor, ...], totals: tuple[Tensor, ...], segment: Segment) -> None:
    for part, total in zip(found, totals, strict=True):
        _part(total, segment).copy_(part)


def _forward_windowed(
    segment: Segment, heads: tuple[Tensor, Tensor, Tensor], out: Tensor, window: int, scale: float
) -> None:
    for row in range(segment.first, segment.last):
        q, k, v, target = (x[row, segment.start : segment.stop].transpose(0, 1) for x in (*heads, out))
        blocks.forward((q, k, v), target, window, scale)


def _backward_windowed(
    segment: Segment, given: tuple[Tensor, ...], totals: tuple[Tensor, ...], window: int, scale: float
) -> None:
    for row in range(segment.first, segment.last):
        do, q, k, v, dq, dk, dv = (x[row, segment.start : segment.stop].transpose(0, 1) for x in (*given, *totals))
        blocks.backward(do, (q, k, v), (dq, dk, dv), window, scale)


def _part(x: Tensor, segment: Segment) -> Tensor:
    """A segment's positions of x [B, T, H, ...]: a view [rows, S, H, ...]."""
    return x[segment.first : segment.last, segment.start : segment.stop]
