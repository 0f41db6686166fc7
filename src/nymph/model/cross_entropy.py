"""Cross-entropy from hidden features to a large vocabulary without ever holding all logits.

Rows go through the vocabulary in chunks. The gradients are worked out in the forward pass, chunk by chunk, while its
logits are at hand (as Liger Kernel does, arXiv:2410.10989): three matrix products instead of four, at the price of one
buffer of the vocabulary's size held until the backward pass.
"""

from typing import Any

import torch
from torch import Tensor

LOGITS = 1 << 23
"""Logits held at once: 32 MiB of float32."""


def chunked_cross_entropy(hidden: Tensor, head: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted sum of cross-entropies and weighted sum of correct guesses.

    hidden [N, D], head [V, D], target [N] int64, weight [N] float32 -> two float32 scalars; 0 where N is 0.
    """
    if torch.is_autocast_enabled(hidden.device.type):
        head = head.to(hidden.dtype)
    loss, correct = _ChunkedCrossEntropy.apply(hidden, head, target, weight)
    return loss, correct


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        loss, correct = (hidden.new_zeros((), dtype=torch.float32) for _ in range(2))
        train = any(ctx.needs_input_grad)
        hidden_gradient = torch.empty_like(hidden) if train else None
        head_gradient = torch.zeros_like(head, dtype=torch.float32) if train else None
        for rows in torch.arange(len(hidden)).split(max(1, LOGITS // len(head))):
            part = slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else slice(0, 0)
            logits = (hidden[part] @ head.T).float()
            losses, hits, error = _losses(logits, target[part], weight[part], train)
            loss += losses
            correct += hits
            if hidden_gradient is not None and head_gradient is not None:
                error = error.to(hidden.dtype)
                torch.mm(error, head, out=hidden_gradient[part])
                head_gradient.addmm_(error.T, hidden[part]) if error.dtype == torch.float32 else head_gradient.add_(
                    error.T @ hidden[part]
                )
        ctx.save_for_backward(hidden_gradient, head_gradient)
        ctx.head_dtype = head.dtype
        ctx.mark_non_differentiable(correct)
        return loss, correct

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        hidden_gradient, head_gradient = ctx.saved_tensors
        scale = gradients[0]
        return hidden_gradient * scale.to(hidden_gradient.dtype), (head_gradient * scale).to(ctx.head_dtype), None, None


def _losses(logits: Tensor, target: Tensor, weight: Tensor, train: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Sums of losses and hits of a chunk [n, V], and the loss's gradient by its logits (which it overwrites)."""
    index = target.unsqueeze(1)
    total = logits.logsumexp(dim=1)
    loss = ((total - logits.gather(1, index).squeeze(1)) * weight).sum()
    hits = ((logits.argmax(dim=1) == target) * weight).sum()
    if train:
        logits = logits.sub_(total.unsqueeze(1)).exp_()
        logits.scatter_add_(1, index, torch.full_like(index, -1, dtype=logits.dtype))
        logits *= weight.unsqueeze(1)
    return loss, hits, logits
