"""What the device draws while something runs, in watts: a GPU as its driver says, a CPU from its RAPL counters."""

import time
from pathlib import Path
from statistics import median

import torch

_RAPL = Path("/sys/class/powercap")


class PowerMeter:
    """Read it after each step; `watts` stays None where nothing measures power or this user may not ask."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._readings: list[float] = []
        self._begin = time.monotonic(), _cpu_joules()

    def read(self) -> None:
        """Note what a GPU draws now; a CPU counts by itself."""
        if self._device.type == "cuda":
            self._readings += _gpu_watts(self._device)

    @property
    def watts(self) -> float | None:
        """Median of the readings of a GPU, mean of a CPU since the beginning."""
        if self._device.type == "cuda":
            return median(self._readings) if self._readings else None
        (begin, before), now = self._begin, _cpu_joules()
        if before is None or now is None or now < before:  # the counter has wrapped
            return None
        return (now - before) / max(1e-9, time.monotonic() - begin)


def _gpu_watts(device: torch.device) -> list[float]:
    try:
        return [torch.cuda.power_draw(device) / 1000]
    except Exception:  # NVML bindings are optional, and their errors are of many kinds
        return []


def _cpu_joules() -> float | None:
    packages = sorted(_RAPL.glob("intel-rapl:[0-9]"))
    try:
        return sum(int((package / "energy_uj").read_text()) for package in packages) / 1e6 if packages else None
    except OSError:  # for root alone on many systems
        return None
