from collections.abc import Callable

import pytest
import torch

from nymph.model.generation import stream
from nymph.model.multimodal import MultimodalModel
from nymph.model.packed import Linear, pack, packed_linears, product
from nymph.model.sampling import SamplingConfig

needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")


@needs_onednn
@pytest.mark.parametrize("rows", [1, 3, 32])
@torch.inference_mode()
def test_a_packed_product_equals_the_plain_one(rows: int) -> None:
    weight, x = torch.randn(40, 24), torch.randn(rows, 1, 24)
    packed = pack(weight, rows)
    assert packed is not None
    torch.testing.assert_close(product(x, weight, packed), x @ weight.T)


def test_many_rows_and_half_precision_stay_plain() -> None:
    weight = torch.randn(40, 24)
    assert pack(weight, rows=33) is None
    assert pack(weight.bfloat16(), rows=1) is None


@needs_onednn
def test_weights_are_packed_only_inside_the_block() -> None:
    linear = Linear(8, 4)
    with packed_linears(linear, rows=1):
        assert linear.packed is not None
    assert linear.packed is None


def test_a_stream_that_is_closed_early_leaves_nothing_packed(make_model: Callable[..., MultimodalModel]) -> None:
    model = make_model()
    steps = stream(model, [[5]], SamplingConfig())
    next(steps)
    steps.close()
    assert all(module.packed is None for module in model.modules() if isinstance(module, Linear))
