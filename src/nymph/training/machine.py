"""What each rank's machine does: memory, processor or GPU use, temperature; and how rows keep up.

Ranks share a step's flags anyway, so their figures ride along and cost no exchange of their own. A rank looks at its
own machine every few seconds: asking a GPU takes a millisecond.
"""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from nymph.training.devices import memory_bytes
from nymph.training.health import device_celsius

LOOK_SECONDS = 5.0
FIGURES = ("memory_bytes", "use", "celsius")
"""Of each rank: bytes, a share from 0 to 1 of its GPU (or of the cores it may use), degrees; 0 is unknown."""


class RankFigures:
    """The figures of one rank, as a part of a list that adds up to those of all."""

    def __init__(self, device: torch.device, rank: int, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._device, self._rank, self._size, self._clock = device, rank, size, clock
        self._looked, self._busy = clock(), time.process_time()
        self._mine = [0.0] * len(FIGURES)
        self._fresh = False

    def addends(self) -> list[float]:
        """Zeros but at this rank's places, FIGURES after FIGURES; the sum over ranks is everybody's."""
        self._look()
        before = self._rank * len(FIGURES)
        after = (self._size - self._rank - 1) * len(FIGURES)
        return [0.0] * before + self._mine + [0.0] * after

    def report(self, sums: Sequence[float]) -> dict[str, dict[str, float]] | None:
        """Figure -> rank -> value, each look once; None in between. What is 0 is left out."""
        if not self._fresh:
            return None
        self._fresh = False
        width = len(FIGURES)
        ranks = {f"rank {rank}": sums[rank * width : (rank + 1) * width] for rank in range(self._size)}
        return {
            name: {rank: values[index] for rank, values in ranks.items() if values[index]}
            for index, name in enumerate(FIGURES)
        }

    def _look(self) -> None:
        now = self._clock()
        if now - self._looked < LOOK_SECONDS:
            return
        busy = time.process_time()
        use = (busy - self._busy) / (now - self._looked) / len(os.sched_getaffinity(0))
        if self._device.type == "cuda":
            use = _gpu_use(self._device)
        self._mine = [float(memory_bytes(self._device)), use, device_celsius(self._device) or 0.0]
        self._looked, self._busy, self._fresh = now, busy, True


class RowRates:
    """How fast rows came since the last look, over every reader of a run."""

    def __init__(self) -> None:
        self._time, self._rows, self._bytes = time.monotonic(), 0, 0

    def since(self, rows: int, size: int) -> dict[str, Any]:
        """Rates from totals of rows and bytes read so far."""
        now = time.monotonic()
        seconds = max(now - self._time, 1e-9)
        fewer = rows < self._rows  # another reader, after a rewind
        before_rows, before_bytes = (0, 0) if fewer else (self._rows, self._bytes)
        rates = {"rows_per_second": (rows - before_rows) / seconds, "bytes_per_second": (size - before_bytes) / seconds}
        self._time, self._rows, self._bytes = now, rows, size
        return rates


def _gpu_use(device: torch.device) -> float:
    try:
        return torch.cuda.utilization(device) / 100
    except Exception:  # NVML bindings are optional, and their errors are of many kinds
        return 0.0
