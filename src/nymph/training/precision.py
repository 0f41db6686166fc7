"""In which precision a run computes: what matrix products of each kind really cost on its devices.

A data sheet does not say that a card emulates a format or runs it at a 64th of the speed, a product of two matrices
does. The probe takes some 50 ms a GPU at the start of a run. All ranks compute in the same precision, because their
gradients are added; a run that continues keeps the one it began with, so that its losses go on as they were.
"""

import time
from typing import Literal, get_args

import torch

from nymph.training.devices import DTYPES
from nymph.training.world import World

Half = Literal["bf16", "fp16"]
HALVES: tuple[Half, ...] = get_args(Half)
WORTHWHILE = 1.2
"""Times faster than fp32 that a product must be to be worth the lost digits."""
_SIZE = 2048


def choose_precision(wanted: str, world: World, before: str = "") -> str:
    """`wanted`, or for `auto` the first of bf16 and fp16 that is worthwhile on every rank's device, else fp32.

    `before` is what the run computed in so far, which it keeps where every device can.
    """
    if wanted != "auto":
        return wanted
    speeds = gemm_speeds(world.device) if world.device.type == "cuda" else {"fp32": 1.0}
    candidates = [before, *HALVES]
    fits = [(name == before and name in speeds) or worthwhile(name, speeds) for name in candidates]
    votes = world.sum([float(fit) for fit in fits])
    return next((name for name, count in zip(candidates, votes, strict=True) if count == world.size), "fp32")


def worthwhile(name: str, speeds: dict[str, float]) -> bool:
    """Whether a half precision is enough faster than fp32."""
    return name in HALVES and speeds.get(name, 0.0) >= WORTHWHILE * speeds["fp32"]


def gemm_speeds(device: torch.device) -> dict[str, float]:
    """Measured FLOP/s of a matrix product in fp32 and in each half precision the device has units for."""
    names = ["fp32", *(half for half in HALVES if _native(half, device))]
    return {name: _flops(device, DTYPES[name]) for name in names}


def _native(half: Half, device: torch.device) -> bool:
    """bf16 before Ampere is emulated; a CPU gains from neither."""
    return device.type == "cuda" and (half == "fp16" or torch.cuda.get_device_capability(device) >= (8, 0))


def _flops(device: torch.device, dtype: torch.dtype, seconds: float = 0.01) -> float:
    size = _SIZE if device.type == "cuda" else _SIZE // 4
    left = torch.ones(size, size, dtype=dtype, device=device)
    (left @ left).sum().item()  # the library chooses its kernel at the first call
    fastest, end = float("inf"), time.perf_counter() + seconds
    while fastest == float("inf") or time.perf_counter() < end:
        begin = time.perf_counter()
        (left @ left).sum().item()
        fastest = min(fastest, time.perf_counter() - begin)  # others may take the core away for longer than a product
    return 2.0 * size**3 / fastest
