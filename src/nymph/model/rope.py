"""Rotary positions (arXiv:2104.09864), extended by YaRN (arXiv:2309.00071).

Features are turned in the "half" layout of Llama (feature i with feature i + n/2), not DeepSeek's interleaved pairs:
the two differ by a permutation of weights, and halves need no reshuffling at run time. Angles are always float32: at
position 262,144 half precision cannot tell neighbours apart.
"""

import math
from functools import cache
from typing import Any

import torch
from torch import Tensor

from nymph.model.config import RopeConfig

Rotation = tuple[Tensor, ...]
"""Of positions: cosines [B, T, 1, R], each for both features of a pair, and sines [B, T, 1, R / 2]."""


def rotation(position: Tensor, width: int, config: RopeConfig, windowed: bool) -> Rotation:
    """Cosines and sines of `width` features for positions [B, T]; windowed layers are never scaled."""
    frequency = torch.tensor(_frequencies(width, config, windowed), device=position.device)
    angle = (position.unsqueeze(-1).float() * frequency).unsqueeze(-2)
    magnitude = 1.0 if windowed else attention_magnitude(config)
    cosine, sine = angle.cos() * magnitude, angle.sin() * magnitude
    return torch.cat((cosine, cosine), dim=-1), sine


def turn(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn the last R features of heads x [B, T, H, D]; those before stay as they are, and so does x's dtype."""
    return _Turned.apply(x, *(part.to(x.dtype) for part in rotation))


class _Turned(torch.autograd.Function):
    """The derivative turns back: nothing of x is kept, and there is one copy where torch's own has a dozen."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        ctx.save_for_backward(cosine, sine)
        return _turned(x, cosine, sine, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        cosine, sine = ctx.saved_tensors
        return _turned(gradients[0], cosine, sine, -1), None, None


def _turned(x: Tensor, cosine: Tensor, sine: Tensor, direction: int) -> Tensor:
    out = x.clone(memory_format=torch.contiguous_format)
    (first, second), last = x[..., -cosine.shape[-1] :].chunk(2, dim=-1), out[..., -cosine.shape[-1] :]
    last.mul_(cosine)
    last[..., : sine.shape[-1]].addcmul_(second, sine, value=-direction)
    last[..., sine.shape[-1] :].addcmul_(first, sine, value=direction)
    return out


def attention_magnitude(config: RopeConfig) -> float:
    """YaRN's factor on rotated features, which sharpens attention over longer contexts."""
    return 1.0 if config.scaling == 1 else 0.1 * math.log(config.scaling) + 1.0


@cache
def _frequencies(width: int, config: RopeConfig, windowed: bool) -> list[float]:
    base = config.local_base if windowed else config.global_base
    plain = [base ** (-2 * i / width) for i in range(width // 2)]
    if windowed or config.scaling == 1 or config.original_context is None:
        return plain
    low = _turning_feature(config.beta_fast, width, base, config.original_context)
    high = _turning_feature(config.beta_slow, width, base, config.original_context)
    low, high = max(math.floor(low), 0), min(math.ceil(high), width - 1)
    return [
        frequency * (1 - share) + frequency / config.scaling * share
        for i, frequency in enumerate(plain)
        for share in [min(max((i - low) / max(high - low, 0.001), 0.0), 1.0)]
    ]


def _turning_feature(turns: float, width: int, base: float, context: int) -> float:
    """The (fractional) feature pair that turns `turns` times over `context` positions."""
    return width * math.log(context / (turns * 2 * math.pi)) / (2 * math.log(base))
