"""Rules that watch a run: when to leave an update out, what to alert a person to.

Ordinary is what the last `window` steps were: their median and median absolute deviation, which a few wild steps do
not move. Every rank runs the same rules on the same numbers and so decides alike. A rule speaks once an episode, not
once a step. Judging a step costs about 50 us.
"""

import math
import shutil
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from nymph.training.job import HealthRules
from nymph.training.step import StepResult
from nymph.training.world import World

NON_FINITE = "non_finite"
SPIKE = "loss_spike"
_NORMAL = 1.4826
"""Standard deviations in a median absolute deviation, for a normal distribution."""
_ENOUGH = 32
"""Steps before which nothing is called unusual."""
EPISODE = 10
"""Steps one after another after which speed is called fallen, and a spike lasting."""


@dataclass(frozen=True)
class Alert:
    """Something a person should know."""

    rule: str
    message: str


class Window:
    """The last ordinary values of a number, and how unusual another is."""

    def __init__(self, size: int, values: Iterable[float] = (), floor: float = 0.01, relative: bool = True) -> None:
        self.values = deque(values, maxlen=size)
        self._floor, self._relative = floor, relative

    def add(self, value: float) -> None:
        self.values.append(value)

    @property
    def centre(self) -> float | None:
        """The median, None while there are too few values."""
        return median(self.values) if len(self.values) >= _ENOUGH else None

    def sigmas(self, value: float) -> float:
        """Robust standard deviations above the median; 0 while there are too few values."""
        centre = self.centre
        if centre is None:
            return 0.0
        spread = _NORMAL * median(abs(other - centre) for other in self.values)
        floor = self._floor * (abs(centre) if self._relative else 1.0)
        return (value - centre) / max(spread, floor, 1e-12)


class Monitor:
    """Judges the steps of one run. Its memory is part of a checkpoint."""

    def __init__(self, rules: HealthRules, memory: Mapping[str, Any] | None = None) -> None:
        memory = memory or {}
        self._rules = rules
        self._losses = Window(rules.window, memory.get("losses", ()))
        self._norms = Window(rules.window, memory.get("norms", ()), floor=0.05, relative=False)
        self._speeds: deque[float] = deque(maxlen=rules.window)
        self._without: dict[str, int] = dict(memory.get("without", {}))
        self._active: set[str] = set()
        self._slow = self._waiting = 0
        self.spiking = 0
        """Steps that a spike of the loss has lasted."""

    @property
    def active(self) -> list[str]:
        """Rules that are broken now."""
        return sorted(self._active)

    def to_dict(self) -> dict[str, Any]:
        """What must survive a restart for decisions to stay the same."""
        return {"losses": list(self._losses.values), "norms": list(self._norms.values), "without": dict(self._without)}

    def judge(self, loss: float, norm: float) -> str | None:
        """Why a step's update must be left out, or None. `loss` and `norm` are global."""
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return NON_FINITE
        if self._rules.skip_spikes and self._losses.sigmas(loss) > self._rules.spike_sigma:
            return SPIKE
        return None

    def observe(self, result: StepResult, positions: tuple[int, int], speed: float, wait: float) -> list[Alert]:
        """Alerts of a finished step; `positions` are its rows, `speed` tokens a second, `wait` the share of waiting."""
        alerts = [
            *self._values(result, positions),
            *self._targets(result.targets),
            *self._pace(speed, wait),
        ]
        self.spiking = self.spiking + 1 if SPIKE in self._active else 0
        if math.isfinite(result.loss) and math.isfinite(result.gradient_norm) and SPIKE not in self._active:
            self._losses.add(result.loss)
            self._norms.add(math.log(result.gradient_norm + 1e-12))
        return alerts

    def _values(self, result: StepResult, positions: tuple[int, int]) -> list[Alert]:
        rows = f"rows {positions[0]} to {positions[1] - 1}"
        if not math.isfinite(result.loss) or not math.isfinite(result.gradient_norm):
            return [Alert(NON_FINITE, f"loss {result.loss}, gradient norm {result.gradient_norm} at {rows}; skipped")]
        sigmas = self._losses.sigmas(result.loss)
        outlier = self._norms.sigmas(math.log(result.gradient_norm + 1e-12))
        usual = f"above its median {self._losses.centre} at {rows}{'; skipped' if result.skipped else ''}"
        return [
            *self._episode(
                SPIKE,
                sigmas > self._rules.spike_sigma,
                f"loss {result.loss:.4g} is {sigmas:.0f} sigma {usual}",
            ),
            *self._episode(
                "gradient_outlier",
                outlier > self._rules.gradient_sigma,
                f"gradient norm {result.gradient_norm:.4g} is {outlier:.0f} sigma above its median at {rows}",
            ),
        ]

    def _targets(self, targets: Mapping[str, float]) -> list[Alert]:
        alerts = []
        for name, count in targets.items():
            self._without[name] = 0 if count else self._without.get(name, 0) + 1
            dead = self._without[name] >= self._rules.dead_after
            text = (
                f"objective {name!r} has had no target for {self._without[name]} steps; do its rows hold that stream?"
            )
            alerts += self._episode(f"dead_objective:{name}", dead, text)
        return alerts

    def _pace(self, speed: float, wait: float) -> list[Alert]:
        usual = median(self._speeds) if len(self._speeds) >= _ENOUGH else 0.0
        self._slow = self._slow + 1 if speed < self._rules.throughput_share * usual else 0
        self._waiting = self._waiting + 1 if wait > self._rules.data_wait_share else 0
        if not self._slow:
            self._speeds.append(speed)
        return [
            *self._episode(
                "throughput",
                self._slow >= EPISODE,
                f"{speed:,.0f} tokens a second for {self._slow} steps, usual are {usual:,.0f}",
            ),
            *self._episode(
                "data_wait",
                self._waiting >= EPISODE,
                f"{wait:.0%} of the time goes to waiting for rows; serve them from nearer, or read further ahead",
            ),
        ]

    def _episode(self, rule: str, wrong: bool, message: str) -> list[Alert]:
        """One alert when `wrong` begins; quiet until it has ended and begun again."""
        if not wrong:
            self._active.discard(rule)
            return []
        if rule in self._active:
            return []
        self._active.add(rule)
        return [Alert(rule.split(":")[0], message)]


class MachineWatch:
    """Rules about rank 0's disk and every rank's GPU, which are asked every `state_every` steps."""

    def __init__(self, rules: HealthRules, directory: Path, world: World) -> None:
        self._rules, self._directory, self._world, self._device = rules, directory, world, world.device
        self._active: set[tuple[str, int]] = set()

    @property
    def active(self) -> list[str]:
        """Rules that were broken at the last look."""
        return sorted({rule for rule, _ in self._active})

    def look(self) -> list[Alert]:
        """Alerts that began since the last look, on any rank; every rank must call it."""
        mine = {alert.rule: alert.message for alert in (self._disk(), self._memory(), self._temperature()) if alert}
        everybody = enumerate(self._world.gather(mine))
        found = {(rule, rank): message for rank, said in everybody for rule, message in said.items()}
        fresh = [where for where in found if where not in self._active]
        self._active = set(found)
        return [Alert(rule, (f"rank {rank}: " if rank else "") + found[rule, rank]) for rule, rank in fresh]

    def _disk(self) -> Alert | None:
        if not self._world.main:  # it alone writes there; elsewhere there may be no such folder
            return None
        free = shutil.disk_usage(self._directory).free
        if free >= self._rules.disk_free:
            return None
        return Alert(
            "low_disk", f"{free:,} bytes are free for checkpoints, the rule asks for {self._rules.disk_free:,}"
        )

    def _memory(self) -> Alert | None:
        if self._device.type != "cuda":
            return None
        free, total = torch.cuda.mem_get_info(self._device)
        share = 1 - free / total
        if share <= self._rules.device_memory_share:
            return None
        return Alert("device_memory", f"{share:.0%} of {self._device}'s {total / 1e9:.0f} GB are used")

    def _temperature(self) -> Alert | None:
        celsius = device_celsius(self._device)
        if celsius is None or celsius <= self._rules.device_celsius:
            return None
        return Alert("device_hot", f"{self._device} is at {celsius} degrees Celsius; check its cooling")


def device_celsius(device: torch.device) -> float | None:
    """A GPU's temperature, None where there is no GPU or no NVML to ask."""
    if device.type != "cuda":
        return None
    try:
        return float(torch.cuda.temperature(device))
    except Exception:  # NVML bindings are optional, and their errors are of many kinds
        return None
