"""Weights laid out for decoding on CPU: products of a few rows read them at memory speed.

A plain product of one row reads a weight at about half the speed of memory; oneDNN's own layout makes it twice as fast,
and eight rows nearly as cheap as one. The price is a second copy of the weights while text is generated, and a private
torch operator. Where it is not at hand (another device, another precision, a torch without oneDNN), nothing changes.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_FEW = 32
"""Rows up to which the packed layout is faster; a prompt has more."""


class Linear(nn.Linear):
    """A matrix product without bias, by its packed weight where there is one and the rows are few."""

    packed: Tensor | None = None

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., inputs] -> [..., outputs]."""
        return product(x, self.weight, self.packed)


def product(x: Tensor, weight: Tensor, packed: Tensor | None) -> Tensor:
    """x [..., I] by weight [O, I], of which `packed` may be a second copy -> [..., O]."""
    if packed is None or x.numel() > _FEW * x.shape[-1]:
        return F.linear(x, weight)
    return torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")


def pack(weight: Tensor, rows: int) -> Tensor | None:
    """A second copy of weight [O, I] for products of `rows` rows; None where it would not help."""
    plain = weight.device.type == "cpu" and weight.dtype == torch.float32
    if not plain or rows > _FEW or not torch.backends.mkldnn.is_available():
        return None
    return torch.ops.mkldnn._reorder_linear_weight(weight.detach(), rows)


@contextmanager
def packed_linears(model: nn.Module, rows: int) -> Iterator[None]:
    """Every Linear of a model multiplies `rows` rows by a packed copy of its weight, until the end of the block."""
    linears = [module for module in model.modules() if isinstance(module, Linear)]
    try:
        for linear in linears:
            linear.packed = pack(linear.weight, rows)
        yield
    finally:
        for linear in linears:
            linear.packed = None
