"""Learning-rate schedules as pure functions of the step: nothing to save, nothing to resume.

Each gives the factor on the peak learning rate for the update numbered `step`, from 0. Changing the number of steps
of a resumed run therefore bends the rest of the curve, as one would expect.
Sources: cosine - Loshchilov & Hutter 2017 (arXiv 1608.03983); one-cycle - Smith & Topin 2018 (1708.07120);
warmup-stable-decay - Hu et al. 2024 (MiniCPM, 2404.06395).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from nymph.errors import NymphError


@dataclass(frozen=True)
class Schedule:
    """How the learning rate moves over the run."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    type: Literal["cosine", "linear", "one_cycle", "wsd", "constant"] = "cosine"
    """Shape after the warmup; `wsd` is warmup-stable-decay."""
    warmup_ratio: float = 0.03
    """Share of all steps over which the rate rises from near zero to its peak."""
    decay_ratio: float = 0.2
    """Share of all steps over which `wsd` falls at the end."""
    minimum: float = 0.1
    """Rate at the end, as a share of the peak."""

    def __post_init__(self) -> None:
        for name in ("warmup_ratio", "decay_ratio", "minimum"):
            if not 0 <= getattr(self, name) <= 1:
                raise NymphError(f"schedule.{name} must be between 0 and 1, got {getattr(self, name)!r}")
        if self.type == "wsd" and self.warmup_ratio + self.decay_ratio > 1:
            raise NymphError("schedule.warmup_ratio + schedule.decay_ratio must not exceed 1 for 'wsd'")


def learning_rate_factor(schedule: Schedule, step: int, steps: int) -> float:
    """Factor on the peak learning rate for update `step` (from 0) of `steps`."""
    warmup = round(schedule.warmup_ratio * steps)
    if step < warmup:
        return _WARMUPS.get(schedule.type, _rise)((step + 1) / (warmup + 1), schedule)
    progress = min(1.0, (step - warmup) / max(1, steps - 1 - warmup))
    return _SHAPES[schedule.type](progress, schedule, steps)


def _rise(progress: float, schedule: Schedule) -> float:
    return progress


def _cosine_rise(progress: float, schedule: Schedule) -> float:
    return 1 / 25 + (1 - 1 / 25) * (1 - math.cos(math.pi * progress)) / 2  # 25: the paper's division at the start


def _cosine(progress: float, schedule: Schedule, steps: int) -> float:
    return schedule.minimum + (1 - schedule.minimum) * (1 + math.cos(math.pi * progress)) / 2


def _linear(progress: float, schedule: Schedule, steps: int) -> float:
    return 1 - (1 - schedule.minimum) * progress


def _stable_decay(progress: float, schedule: Schedule, steps: int) -> float:
    stable = 1 - schedule.decay_ratio / max(1e-9, 1 - schedule.warmup_ratio)
    if progress <= stable:
        return 1.0
    return _linear((progress - stable) / (1 - stable), schedule, steps)


def _constant(progress: float, schedule: Schedule, steps: int) -> float:
    return 1.0


_WARMUPS: dict[str, Callable[[float, Schedule], float]] = {"one_cycle": _cosine_rise}
_SHAPES: dict[str, Callable[[float, Schedule, int], float]] = {
    "cosine": _cosine,
    "linear": _linear,
    "one_cycle": _cosine,
    "wsd": _stable_decay,
    "constant": _constant,
}
