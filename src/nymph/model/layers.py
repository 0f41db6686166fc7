"""The parts every block is made of: RMSNorm and SwiGLU, both without biases, equal to Llama's.

Both bring their own derivative: torch's goes operator by operator, each of which writes a tensor of its own. Compilers
get the plain formula, which they fuse by themselves; so does whoever needs no derivative, as it costs less there.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nymph.model.config import ModelConfig
from nymph.model.packed import Linear


class RMSNorm(nn.RMSNorm):
    """Root mean square norm (arXiv:1910.07467) over the last dimension, computed in float32 for half inputs."""

    def forward(self, x: Tensor) -> Tensor:
        """x [..., D] -> [..., D] in x's dtype."""
        half = x.dtype in (torch.float16, torch.bfloat16)
        wide = x.float() if half else x
        if x.is_cuda or _plainly():  # on GPUs newer torch has one kernel for it
            return F.rms_norm(wide, self.normalized_shape, self.weight.to(wide.dtype), self.eps).to(x.dtype)
        return _Normalised.apply(wide, self.weight.to(wide.dtype), self.eps).to(x.dtype)


class SwiGLU(nn.Module):
    """Gated feed-forward (arXiv:2002.05202); gate and up projections share one matrix product."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        hidden = config.feed_forward_width
        self.gate_up = Linear(config.width, 2 * hidden)
        self.down = Linear(hidden, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, D] -> [B, T, D]."""
        gate_up = self.gate_up(x)
        if _plainly():
            gate, up = gate_up.chunk(2, dim=-1)
            return self.down(F.silu(gate) * up)
        return self.down(_Gated.apply(gate_up))


def _plainly() -> bool:
    return torch.compiler.is_compiling() or not torch.is_grad_enabled()


class _Gated(torch.autograd.Function):
    """apply(gate_up [..., 2H]) -> silu(gate) * up [..., H]; keeps gate_up alone."""

    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        ctx.save_for_backward(gate_up)
        gate, up = gate_up.chunk(2, dim=-1)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (gate_up,), gradient = ctx.saved_tensors, gradients[0]
        gate, up = gate_up.chunk(2, dim=-1)
        found = torch.empty_like(gate_up)
        of_gate, of_up = found.chunk(2, dim=-1)
        torch.ops.aten.silu.out(gate, out=of_up).mul_(gradient)
        torch.mul(gradient, up, out=of_gate)
        torch.ops.aten.silu_backward.grad_input(of_gate, gate, grad_input=of_gate)
        return found


class _Normalised(torch.autograd.Function):
    """apply(x [..., D], weight [D], epsilon) -> x / rms(x) * weight; keeps x and a number a row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        return (x * scale).mul_(weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight, scale), gradient = ctx.saved_tensors, gradients[0]
        normal = x * scale
        product = gradient * normal
        of_weight = product.flatten(0, -2).sum(dim=0)
        along = torch.mv(product.flatten(0, -2), weight).div_(-x.shape[-1]).view_as(scale)
        return torch.mul(gradient, weight, out=product).addcmul_(normal, along).mul_(scale), of_weight, None
