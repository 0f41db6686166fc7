"""Which attention kernel a layer runs, and why: chosen by device, precision and window, printed once a choice.

| choice | where | window |
|---|---|---|
| banded | CPU | blocks of matrix products (`nymph.model.banded`) |
| flash | CUDA sm80 and up, half precision | the kernel's own (arXiv:2307.08691) |
| efficient | CUDA sm50 and up, any precision: the Pascal path | the kernel's own (arXiv:2112.05682) |
| flex | in place of efficient where Triton compiles (sm70 and up) and a trial finds it faster | `nymph.model.flex` |
| dense | anywhere else | a T x T mask: exact, but not for long sequences |

All take packed documents without a mask, except `dense`, which is also what the others are tested against.
"""

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from nymph.model.banded import BandedAttention
from nymph.model.contest import quickest
from nymph.model.efficient import EfficientAttention
from nymph.model.flex import attend_flex, can_compile
from nymph.model.packing import Layout

Kernel = Literal["banded", "flash", "efficient", "flex", "dense"]


def attend(q: Tensor, k: Tensor, v: Tensor, layout: Layout, window: int | None, scale: float) -> Tensor:
    """Causal attention within each document, to at most `window` positions back (the query's own included).

    q [B, T, H, K], k [B, T, G, K], v [B, T, G, V] with G dividing H -> [B, T, H, V] in q's dtype. What stands at
    padding means nothing.
    """
    capability = torch.cuda.get_device_capability(q.device) if q.is_cuda else None
    kernel, reason = decide(q.device, capability, q.dtype, (q.shape[2], q.shape[3], v.shape[3]), window)
    _announce(kernel, reason, window)
    if kernel == "flex" and window:
        return attend_flex(q, *_repeat(k, v, q.shape[2]), layout, window, scale)
    if kernel == "efficient":
        return _efficient(q, *_repeat(k, v, q.shape[2]), layout, window, scale)
    width = v.shape[-1]
    if kernel == "dense":
        return _dense(q, *_repeat(k, v, q.shape[2]), layout, window, scale)
    q, k, v = (_widened(x, max(q.shape[-1], width)) for x in (q, k, v))
    if kernel == "flash":
        return _flash(q, k, v, layout, window, scale)[..., :width]
    return _banded(q, *_repeat(k, v, q.shape[2]), layout, window, scale)[..., :width]


@cache
def decide(
    device: torch.device,
    capability: tuple[int, int] | None,
    dtype: torch.dtype,
    shape: tuple[int, int, int],
    window: int | None,
) -> tuple[Kernel, str]:
    """The kernel for heads of a shape (number, features of queries, of values), by trial where no rule is known."""
    kernel, reason = choose(device.type, capability, dtype, max(shape[1:]))
    if kernel == "efficient" and window and can_compile(capability):
        return _trial(device, dtype, shape, window)
    return kernel, reason


@cache
def choose(device: str, capability: tuple[int, int] | None, dtype: torch.dtype, width: int) -> tuple[Kernel, str]:
    """The kernel for a device of a CUDA capability, and the reason in words."""
    if device == "cpu":
        return "banded", "a CPU does windows in blocks of matrix products, the rest by its flash kernel"
    if device != "cuda" or capability is None:
        return "dense", f"no windowed kernel for device {device!r}"
    architecture = f"sm{capability[0]}{capability[1]}"
    if capability >= (8, 0) and dtype in (torch.float16, torch.bfloat16) and width <= 256:
        return "flash", f"{architecture} with {_name(dtype)} runs FlashAttention with its own window"
    if capability >= (5, 0) and not (dtype == torch.bfloat16 and capability < (8, 0)):
        return "efficient", f"{architecture} with {_name(dtype)} has no FlashAttention; this kernel has its own window"
    return "dense", f"{architecture} with {_name(dtype)} has no windowed kernel"


def _trial(device: torch.device, dtype: torch.dtype, shape: tuple[int, int, int], window: int) -> tuple[Kernel, str]:
    """Efficient or flex, whichever is faster.

    In a thread of its own: there, no autocast, no random state and no checkpoint of the caller is touched.
    """
    with ThreadPoolExecutor(1) as thread:
        name, reason = thread.submit(_compare, device, dtype, shape, window).result()
    return ("flex" if name == "flex" else "efficient"), reason


def _compare(device: torch.device, dtype: torch.dtype, shape: tuple[int, int, int], window: int) -> tuple[str, str]:
    (number, *widths), layout = shape, Layout.whole(1, 8 * window)
    draw = torch.Generator(device).manual_seed(0)
    heads = [
        torch.randn(1, layout.length, number, width, device=device, dtype=dtype, generator=draw).requires_grad_()
        for width in (widths[0], *widths)
    ]

    def run(kernel: Callable[..., Tensor]) -> list[Tensor]:
        out = kernel(*heads, layout, window, widths[0] ** -0.5)
        return [out.detach(), *torch.autograd.grad(out.sum(), heads)]

    def clock() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return quickest({"efficient": lambda: run(_efficient), "flex": lambda: run(attend_flex)}, clock)


@cache
def _announce(kernel: Kernel, reason: str, window: int | None) -> None:
    span = "global" if window is None else f"window {window}"
    print(f"attention ({span}): {kernel}, since {reason}", file=sys.stderr)


def _banded(q: Tensor, k: Tensor, v: Tensor, layout: Layout, window: int | None, scale: float) -> Tensor:
    """Half precision is widened where there is a window: its scores would be rounded."""
    half = window is not None and q.dtype in (torch.float16, torch.bfloat16)
    heads = (x.float() for x in (q, k, v)) if half else (q, k, v)
    return BandedAttention.apply(*heads, layout, window, scale).to(q.dtype)


def _flash(q: Tensor, k: Tensor, v: Tensor, layout: Layout, window: int | None, scale: float) -> Tensor:
    ends, longest = _boundaries(layout, q.device)
    left, right = (-1, -1) if window is None else (window - 1, 0)
    out = torch.ops.aten._flash_attention_forward(
        q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), ends, ends, longest, longest, 0.0, True, False,
        scale=scale, window_size_left=left, window_size_right=right,
    )[0]  # fmt: skip
    return out.unflatten(0, q.shape[:2])


def _efficient(q: Tensor, k: Tensor, v: Tensor, layout: Layout, window: int | None, scale: float) -> Tensor:
    ends, longest = _boundaries(layout, q.device)
    flat = (x.flatten(0, 1).unsqueeze(0) for x in (q, k, v))
    out = EfficientAttention.apply(*flat, ends, longest, window, scale)
    return out.squeeze(0).unflatten(0, q.shape[:2])


def _dense(q: Tensor, k: Tensor, v: Tensor, layout: Layout, window: int | None, scale: float) -> Tensor:
    mask = visible(layout, window, q.device).unsqueeze(1)
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * scale
    weights = scores.masked_fill(~mask, float("-inf")).softmax(dim=-1).nan_to_num(0.0)
    return torch.einsum("bhqk,bkhd->bqhd", weights, v)


def visible(layout: Layout, window: int | None, device: torch.device) -> Tensor:
    """Which keys each query sees, as a dense mask [B, T, T]."""
    document = layout.documents(device)
    distance = torch.arange(layout.length, device=device)[:, None] - torch.arange(layout.length, device=device)
    near = (distance >= 0) & (distance < (window or layout.length))
    return near & (document[:, :, None] == document[:, None, :]) & (document > 0)[:, :, None]


def _boundaries(layout: Layout, device: torch.device) -> tuple[Tensor, int]:
    ends = layout.boundaries()
    longest = max(b - a for a, b in pairwise(ends))
    return torch.tensor(ends, dtype=torch.int32, device=device), longest


def _widened(x: Tensor, width: int) -> Tensor:
    """Zero features up to a width: these kernels need queries, keys and values of one width."""
    return x if x.shape[-1] == width else F.pad(x, (0, width - x.shape[-1]))


def _repeat(k: Tensor, v: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """Keys and values for every query head, where groups of heads share them."""
    times = heads // k.shape[2]
    return (k, v) if times == 1 else (k.repeat_interleave(times, dim=2), v.repeat_interleave(times, dim=2))


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
