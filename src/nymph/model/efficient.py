"""Windowed attention on any CUDA GPU since Maxwell, through torch's memory-efficient kernels (arXiv:2112.05682).

The path for Pascal, which has neither Triton nor FlashAttention. Torch's own derivative of this operator forgets the
window (2.8 calls the backward kernel without `window_size`: wrong gradients, no error), so the backward pass is called
here.

Shapes: [1, N, H, D] over N = B * T flattened positions, cut into documents by `ends`.
"""

from typing import Any

import torch
from torch import Tensor

_CAUSAL_FROM_TOP_LEFT = 1
"""custom_mask_type of the operator."""


class EfficientAttention(torch.autograd.Function):
    """apply(q, k, v, ends, longest, window, scale) -> out; `ends` int32 cumulative lengths of documents."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, ends: Tensor, longest: int, window: int | None, scale: float
    ) -> Tensor:
        out, lse, seed, offset, longest_q, longest_k = torch.ops.aten._efficient_attention_forward(
            q, k, v, None, ends, ends, longest, longest, 0.0, _CAUSAL_FROM_TOP_LEFT, any(ctx.needs_input_grad),
            scale=scale, window_size=window,
        )  # fmt: skip
        ctx.save_for_backward(q, k, v, out, lse, seed, offset, ends)
        ctx.longest, ctx.window, ctx.scale = (longest_q, longest_k), window, scale
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, lse, seed, offset, ends = ctx.saved_tensors
        dq, dk, dv, _ = torch.ops.aten._efficient_attention_backward(
            gradients[0].contiguous(), q, k, v, None, out, ends, ends, *ctx.longest, lse, 0.0, seed, offset,
            _CAUSAL_FROM_TOP_LEFT, False, scale=ctx.scale, window_size=ctx.window,
        )  # fmt: skip
        return dq, dk, dv, None, None, None, None
