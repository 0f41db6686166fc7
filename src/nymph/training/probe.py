"""What one device can do with a job: speed and memory by real steps, matrix products and copies by themselves.

The steps run in a process like a rank's, one for each number of rows: what it takes is what a rank will take. A device
that cannot hold the whole model is measured with one and with two of its layers; what differs is what a layer costs,
and the plan says how much of the model such a device could take.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from nymph.model.config import ModelConfig
from nymph.training.apart import apart
from nymph.training.devices import free_bytes, pick_device
from nymph.training.estimate import estimate_run
from nymph.training.job import Job, Launch
from nymph.training.precision import gemm_speeds
from nymph.training.stages import names_and_shapes

_COPY_BYTES = 1 << 26


@dataclass(frozen=True)
class RankSpeed:
    """What one device can do with a job's model."""

    device: str
    rows_per_second: float
    fixed_bytes: int
    """Weights, gradients and optimizer state, and what a process needs besides."""
    weights_bytes: int
    """Of these, what ranks could share: weights, gradients and moments."""
    row_bytes: int
    """Activations of one more row in a micro-batch."""
    memory_bytes: int
    """What the device has."""
    gemm_flops: dict[str, float]
    """FLOP/s of a matrix product by precision."""
    link_bytes_per_second: float
    """Of copies from this machine's memory."""

    @property
    def other_bytes(self) -> int:
        """Fixed bytes that ranks cannot share."""
        return max(0, self.fixed_bytes - self.weights_bytes)

    @property
    def usable_bytes(self) -> int:
        """The memory but for a tenth to spare."""
        return int(0.9 * self.memory_bytes)

    @property
    def largest_micro_batch(self) -> int:
        """Rows of one forward pass that fit."""
        return (self.usable_bytes - self.fixed_bytes) // max(1, self.row_bytes)


class _Costs(NamedTuple):
    """Of a step of two rows, in seconds and bytes."""

    seconds: float
    fixed: float
    row: float


def probe_rank(
    job: Job, device: str, memory_bytes: int, probe_seconds: float = 10.0, *, of_ranks: int = 1
) -> RankSpeed:
    """Measure one device with one and with two rows a step of `job`; what differs is what a row costs.

    `of_ranks` processes will share the cores of this machine.
    """
    alone = replace(job, device=device, gradient_accumulation=1, launch=Launch(), validation_rows=None)
    place, weights = pick_device(device), _weights_bytes(job.model)
    try:
        costs = _costs(alone, of_ranks, probe_seconds) if weights < memory_bytes else None
    except torch.OutOfMemoryError:
        costs = None
    if costs is None:
        costs = _costs_by_layers(alone, of_ranks, probe_seconds, memory_bytes)
    return RankSpeed(
        device=device,
        rows_per_second=2 / costs.seconds,
        fixed_bytes=round(max(0, costs.fixed)),
        weights_bytes=weights,
        row_bytes=max(1, round(costs.row)),
        memory_bytes=memory_bytes,
        gemm_flops=gemm_speeds(place),
        link_bytes_per_second=_link_speed(place),
    )


def _weights_bytes(model: ModelConfig) -> int:
    """Weights, gradients and AdamW's two moments, in fp32."""
    return 16 * sum(shape.numel() for shape in names_and_shapes(model).values())


def _costs(job: Job, of_ranks: int, seconds: float) -> _Costs:
    one, two = (apart(of_ranks, estimate_run, replace(job, batch_rows=rows), seconds / 2) for rows in (1, 2))
    row = max(1, two.memory_bytes - one.memory_bytes)
    return _Costs(two.step_seconds, one.memory_bytes - row, row)


def _costs_by_layers(job: Job, of_ranks: int, seconds: float, memory_bytes: int) -> _Costs:
    """What the whole model would cost, told from one and two layers; more than there is where these do not fit."""
    try:
        one, two = (
            _costs(replace(job, model=replace(job.model, layers=layers)), of_ranks, seconds / 2) for layers in (1, 2)
        )
    except torch.OutOfMemoryError:
        return _Costs(math.inf, memory_bytes, memory_bytes)
    more = job.model.layers - 1
    return _Costs(*(first + more * max(0.0, second - first) for first, second in zip(one, two, strict=True)))


def every_device() -> tuple[str, ...]:
    """Every GPU, or the CPU where there is none."""
    return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count())) or ("cpu",)


def device_memory(device: str, among: Sequence[str]) -> int:
    """Bytes a rank on `device` may use: what is free there, shared with the other ranks on it."""
    return free_bytes(pick_device(device)) // list(among).count(device)


def _link_speed(device: torch.device, copies: int = 4) -> float:
    pinned = torch.zeros(_COPY_BYTES, dtype=torch.uint8, pin_memory=device.type == "cuda")
    there = torch.zeros_like(pinned, device=device)
    there.copy_(pinned)[0].item()
    begin = time.perf_counter()
    for _ in range(copies):
        there.copy_(pinned)[0].item()
    return copies * _COPY_BYTES / (time.perf_counter() - begin)
