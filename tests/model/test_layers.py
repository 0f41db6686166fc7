from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nymph.model.config import ModelConfig, RopeConfig
from nymph.model.layers import RMSNorm, SwiGLU
from nymph.model.rope import rotation, turn


def numbers(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)), dtype=dtype).requires_grad_()


def norm() -> RMSNorm:
    made = RMSNorm(6, eps=1e-3).double()
    with torch.no_grad():
        made.weight.copy_(numbers(6))
    return made


def turned(x: Tensor) -> Tensor:
    return turn(x, rotation(torch.arange(3).expand(2, 3), 4, RopeConfig(), windowed=True))


def gated() -> SwiGLU:
    return SwiGLU(ModelConfig(vocabulary_size=9, width=6, layers=1, feed_forward=5)).double()


@pytest.mark.parametrize("make", [norm, gated])
def test_the_derivative_of_a_layer_is_that_of_what_it_computes(make: Callable[[], torch.nn.Module]) -> None:
    layer = make()
    parameters = dict(layer.named_parameters())

    def run(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(layer, dict(zip(parameters, values, strict=True)), x)

    assert torch.autograd.gradcheck(run, (numbers(2, 3, 6), *parameters.values()))


@pytest.mark.parametrize("features", [4, 7])
def test_turning_has_the_derivative_of_what_it_computes(features: int) -> None:
    assert torch.autograd.gradcheck(turned, numbers(2, 3, 2, features))


def test_features_before_the_turned_ones_stay() -> None:
    x = numbers(2, 3, 2, 7)
    assert torch.equal(turned(x)[..., :3], x[..., :3])
    assert torch.equal(turned(x)[..., 3:], turned(x[..., 3:]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_norm_is_torchs_own_in_every_precision(dtype: torch.dtype) -> None:
    x, layer = numbers(2, 3, 6).to(dtype), norm()
    expected = F.rms_norm(x.double(), (6,), layer.weight, 1e-3).to(dtype)
    torch.testing.assert_close(layer.to(dtype)(x), expected, atol=2e-2 if dtype.itemsize == 2 else 1e-6, rtol=1e-2)


@pytest.mark.parametrize("make", [norm, gated])
def test_no_positions_are_legal(make: Callable[[], torch.nn.Module]) -> None:
    layer = make()
    layer(numbers(1, 0, 6)).sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in layer.parameters())
