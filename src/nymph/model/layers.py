"""The parts every block is made of: RMSNorm and SwiGLU, both without biases, equal to Llama's."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nymph.model.config import ModelConfig
from nymph.model.packed import Linear


class RMSNorm(nn.RMSNorm):
    """Root mean square norm (arXiv:1910.07467) over the last dimension, computed in float32 for half inputs."""

    def forward(self, x: Tensor) -> Tensor:
        """x [..., D] -> [..., D] in x's dtype."""
        if x.dtype in (torch.float16, torch.bfloat16):
            return F.rms_norm(x.float(), self.normalized_shape, self.weight.float(), self.eps).to(x.dtype)
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


class SwiGLU(nn.Module):
    """Gated feed-forward (arXiv:2002.05202); gate and up projections share one matrix product."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        hidden = config.feed_forward_width
        self.gate_up = Linear(config.width, 2 * hidden)
        self.down = Linear(hidden, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, D] -> [B, T, D]."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)
