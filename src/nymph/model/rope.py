"""Rotary positions (arXiv:2104.09864), extended by YaRN (arXiv:2309.00071).

Features are turned in the "half" layout of Llama (feature i with feature i + n/2), not DeepSeek's interleaved pairs:
the two differ by a permutation of weights, and halves need no reshuffling at run time. Angles are always float32: at
position 262,144 half precision cannot tell neighbours apart.
"""

import math
from functools import cache

import torch
from torch import Tensor

from nymph.model.config import RopeConfig

Rotation = tuple[Tensor, ...]
"""Cosines and sines [B, T, R / 2] of positions."""


def rotation(position: Tensor, width: int, config: RopeConfig, windowed: bool) -> Rotation:
    """Cosines and sines [B, T, width / 2] for positions [B, T]; windowed layers are never scaled."""
    frequency = torch.tensor(_frequencies(width, config, windowed), device=position.device)
    angle = position.unsqueeze(-1).float() * frequency
    magnitude = 1.0 if windowed else attention_magnitude(config)
    return angle.cos() * magnitude, angle.sin() * magnitude


def turn(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn heads x [B, T, H, R] by the angles of `rotation` ([B, T, R / 2] each); keeps x's dtype."""
    cosine, sine = (part.unsqueeze(-2).to(x.dtype) for part in rotation)
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


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
