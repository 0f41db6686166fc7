import importlib.util
import itertools

import pytest
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask
from torch.utils._python_dispatch import TorchDispatchMode

from nymph.model import blocks, kernels
from nymph.model.flex import attend_flex, band
from nymph.model.kernels import _dense, attend, choose, decide
from nymph.model.packing import Layout, positions_of


def random_heads(rows: int = 3, length: int = 150, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(rows, length, 2, 8, generator=draw, dtype=dtype).requires_grad_() for _ in range(3)]


def packed_documents() -> Tensor:
    document = torch.ones(3, 150, dtype=torch.long)
    document[0, 100:140], document[0, 140:] = 2, 0
    document[1, 3:] = 2
    return document


@pytest.mark.parametrize("window", [None, 2, 5, 16, 17, 33, 64, 1000])
@pytest.mark.parametrize("packed", [False, True])
def test_banded_equals_dense_masked_attention(
    window: int | None, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "_block", lambda window: 16)
    heads = random_heads()
    layout = Layout.of(packed_documents()) if packed else Layout.whole(3, 150)
    outs = [attend(*heads, layout, window, 0.3), _dense(*heads, layout, window, 0.3)]
    torch.testing.assert_close(*outs, atol=1e-12, rtol=1e-12)
    gradients = [torch.autograd.grad(out.sin().sum(), heads) for out in outs]
    for mine, reference in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, reference, atol=1e-12, rtol=1e-12)


def test_banded_is_exact_at_its_own_block_size_in_float32() -> None:
    heads = random_heads(rows=1, length=1500, dtype=torch.float32)
    layout = Layout.whole(1, 1500)
    outs = [attend(*heads, layout, 600, 0.3), _dense(*heads, layout, 600, 0.3)]
    torch.testing.assert_close(*outs, atol=1e-5, rtol=1e-5)
    gradients = [torch.autograd.grad(out.sum(), heads) for out in outs]
    for mine, reference in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, reference, atol=1e-5, rtol=1e-5)


def test_values_may_be_narrower_than_keys_and_heads_may_share_them() -> None:
    q, k, v = random_heads()
    layout = Layout.whole(3, 150)
    out = attend(q, k[:, :, :1], v[:, :, :1, :5], layout, 20, 0.3)
    expected = _dense(q, k[:, :, :1].expand_as(q), v[:, :, :1, :5].expand(-1, -1, 2, -1), layout, 20, 0.3)
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize(
    ("device", "capability", "dtype", "kernel"),
    [
        ("cpu", None, torch.float32, "banded"),
        ("cuda", (6, 1), torch.float32, "efficient"),
        ("cuda", (6, 1), torch.bfloat16, "dense"),
        ("cuda", (8, 9), torch.float32, "efficient"),
        ("cuda", (9, 0), torch.bfloat16, "flash"),
        ("mps", None, torch.float32, "dense"),
    ],
)
def test_each_device_gets_its_kernel_and_a_reason(device, capability, dtype, kernel) -> None:
    chosen, reason = choose(device, capability, dtype, 64)
    assert chosen == kernel
    assert len(reason) > 10


@pytest.mark.parametrize("window", [2, 40, 128, 200])
def test_flex_equals_dense_masked_attention(window: int) -> None:
    heads, document = [x.detach() for x in random_heads()], packed_documents()
    layout, kept = Layout.of(document), (document > 0)[..., None, None]
    out = attend_flex(*heads, layout, window, 0.3) * kept
    torch.testing.assert_close(out, _dense(*heads, layout, window, 0.3))


def test_the_band_of_flex_holds_the_blocks_that_a_window_touches_and_no_others() -> None:
    layout = Layout.whole(1, 1024)
    assert torch.equal(
        band(layout, 200, torch.device("cpu")).to_dense()[0, 0].bool(),
        create_block_mask(lambda b, h, q, k: (q >= k) & (q - k < 200), 1, 1, 1024, 1024, device="cpu")
        .to_dense()[0, 0]
        .bool(),
    )


@pytest.mark.parametrize(
    ("capability", "chosen", "expected"),
    [((6, 1), "flex", "efficient"), ((7, 5), "flex", "flex"), ((8, 6), "efficient", "efficient")],
)
def test_flex_takes_part_where_triton_compiles_and_a_trial_prefers_it(
    capability: tuple[int, int], chosen: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: True)
    monkeypatch.setattr(kernels, "_trial", lambda *_: (chosen, "of a trial"))
    decide.cache_clear()
    assert decide(torch.device("cuda"), capability, torch.float32, (4, 64, 64), 1024)[0] == expected
    assert decide(torch.device("cuda"), capability, torch.float32, (4, 64, 64), None)[0] == "efficient"
    decide.cache_clear()


def test_rows_with_equal_documents_share_segments() -> None:
    document = torch.tensor([[1, 1, 2, 0], [1, 1, 2, 0], [1, 2, 2, 2]])
    layout = Layout.of(document)
    assert [(s.first, s.last, s.start, s.stop) for s in layout.segments] == [
        (0, 2, 0, 2), (0, 2, 2, 3), (2, 3, 0, 1), (2, 3, 1, 4),
    ]  # fmt: skip
    assert layout.boundaries() == [0, 2, 3, 4, 6, 7, 8, 9, 12]


def test_positions_restart_in_each_document() -> None:
    document = torch.tensor([[1, 1, 2, 2, 2, 0]])
    assert positions_of(document).tolist() == [[0, 1, 0, 1, 2, 0]]


def test_a_layout_covers_each_position_once() -> None:
    document = packed_documents()
    covered = torch.zeros_like(document)
    for segment in Layout.of(document).segments:
        covered[segment.first : segment.last, segment.start : segment.stop] += 1
    assert torch.equal(covered, (document > 0).long())
    assert all(b > a for a, b in itertools.pairwise(Layout.of(document).boundaries()))


class Spy(TorchDispatchMode):
    """Notes the options that attention kernels are called with; stands in for backward kernels, which need a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, dict] = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if "attention" in name:
            self.calls[name] = kwargs or {}
        if name == "_efficient_attention_backward":
            return (*(torch.empty_like(x) for x in args[1:4]), None)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("kernel", "dtype", "operator", "options"),
    [
        (kernels._flash, torch.float16, "_flash_attention", {"window_size_left": 3, "window_size_right": 0}),
        (kernels._efficient, torch.float32, "_efficient_attention", {"window_size": 4}),
    ],
)
def test_the_window_reaches_the_forward_and_the_backward_kernel(kernel, dtype, operator, options) -> None:
    heads = [torch.randn(2, 16, 4, 32, device="meta", dtype=dtype, requires_grad=True) for _ in range(3)]
    with Spy() as spy:
        kernel(*heads, Layout.whole(2, 16), 4, 0.2).sum().backward()
    for direction in ("forward", "backward"):
        assert options.items() <= spy.calls[f"{operator}_{direction}"].items()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("window", [None, 7, 64])
def test_gpu_kernels_equal_dense_masked_attention(window: int | None, dtype: torch.dtype) -> None:
    heads = [x.detach().to("cuda", dtype).requires_grad_() for x in random_heads()]
    document = packed_documents().cuda()
    layout, kept = Layout.of(document), (document > 0)[..., None, None]
    outs = [attend(*heads, layout, window, 0.3) * kept, _dense(*heads, layout, window, 0.3)]
    tolerance = 1e-5 if dtype == torch.float32 else 1e-2
    torch.testing.assert_close(*outs, atol=tolerance, rtol=tolerance)
    gradients = [torch.autograd.grad(out.float().sum(), heads) for out in outs]
    for mine, reference in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, reference, atol=tolerance, rtol=tolerance)
