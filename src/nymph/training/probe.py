"""What one device can do with a job: speed and memory by real steps, matrix products and copies by themselves."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from nymph.training.devices import pick_device
from nymph.training.estimate import estimate_run
from nymph.training.job import Job, Launch
from nymph.training.precision import gemm_speeds

_COPY_BYTES = 1 << 26


@dataclass(frozen=True)
class RankSpeed:
    """What one device can do with a job's model."""

    device: str
    rows_per_second: float
    fixed_bytes: int
    """Weights, gradients and optimizer state."""
    row_bytes: int
    """Activations of one more row in a micro-batch."""
    memory_bytes: int
    """What the device has."""
    gemm_flops: dict[str, float]
    """FLOP/s of a matrix product by precision."""
    link_bytes_per_second: float
    """Of copies from this machine's memory."""

    @property
    def largest_micro_batch(self) -> int:
        """Rows of one forward pass that fit, a tenth of the memory kept free."""
        return int((0.9 * self.memory_bytes - self.fixed_bytes) // max(1, self.row_bytes))


def probe_rank(job: Job, device: str, memory_bytes: int, probe_seconds: float = 10.0) -> RankSpeed:
    """Measure one device with one and with two rows a step of `job`; what differs is what a row costs."""
    alone = replace(job, device=device, gradient_accumulation=1, launch=Launch(), validation_rows=None)
    place = pick_device(device)
    try:
        one, two = (_estimate(replace(alone, batch_rows=rows), place, probe_seconds / 2) for rows in (1, 2))
    except torch.OutOfMemoryError:  # it needs all there is and more; the plan says what else to do
        one, two = (math.inf, memory_bytes), (math.inf, memory_bytes)
    row_bytes = max(1, two[1] - one[1])
    return RankSpeed(
        device=device,
        rows_per_second=2 / two[0],
        fixed_bytes=max(0, one[1] - row_bytes),
        row_bytes=row_bytes,
        memory_bytes=memory_bytes,
        gemm_flops=gemm_speeds(place),
        link_bytes_per_second=_link_speed(place),
    )


def every_device() -> tuple[str, ...]:
    """Every GPU, or the CPU where there is none."""
    return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count())) or ("cpu",)


def device_memory(device: str, among: Sequence[str]) -> int:
    """Bytes a rank on `device` may use: what is free there, shared with the other ranks on it."""
    place = pick_device(device)
    free = torch.cuda.mem_get_info(place)[0] if place.type == "cuda" else _free_memory()
    return free // list(among).count(device)


def _free_memory() -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024


def _estimate(job: Job, device: torch.device, seconds: float) -> tuple[float, int]:
    """Seconds and peak bytes of a step."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    found = estimate_run(job, seconds)
    return found.step_seconds, found.memory_bytes


def _link_speed(device: torch.device, copies: int = 4) -> float:
    pinned = torch.zeros(_COPY_BYTES, dtype=torch.uint8, pin_memory=device.type == "cuda")
    there = torch.zeros_like(pinned, device=device)
    there.copy_(pinned)[0].item()
    begin = time.perf_counter()
    for _ in range(copies):
        there.copy_(pinned)[0].item()
    return copies * _COPY_BYTES / (time.perf_counter() - begin)
