"""One training run as its event log tells it, event by event."""

import math
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException

from nymph.dashboard.estimate import Pace
from nymph.dashboard.series import Series
from nymph.tracking.metrics import numbers
from nymph.training.events import EVENTS, EventReader, finite

READ_BYTES = 1 << 20
HISTORY_POINTS = 1200
"""Points a metric is drawn with: a highest and a lowest for each pixel of a chart 600 wide."""
SILENCE_SECONDS = 60.0
_KEPT = 200


@dataclass
class Run:
    """What the page shows of a run. `generation` changes when points already given out are no longer true."""

    folder: Path
    reader: EventReader = field(init=False)
    series: dict[str, Series] = field(default_factory=dict)
    latest: dict[str, float | None] = field(default_factory=dict)
    start: dict[str, Any] = field(default_factory=dict)
    end: dict[str, Any] | None = None
    alerts: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_KEPT))
    checkpoints: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_KEPT))
    samples: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_KEPT))
    pace: Pace = field(default_factory=Pace)
    began: float | None = None
    seen: float | None = None
    step: int = 0
    seq: int = -1
    resumes: int = 0

    def __post_init__(self) -> None:
        self.reader = EventReader(self.folder / EVENTS)

    @property
    def name(self) -> str:
        """The run directory's name: the one thing about a run that is surely unique."""
        return self.folder.name

    @property
    def generation(self) -> str:
        """Equal for two readers of the same log, also across a restart of the dashboard."""
        return f"{self.began}-{self.resumes}"

    def replaced(self) -> bool:
        """Whether another, shorter log has taken the place of the one read."""
        return self.reader.unread() < 0

    def grown(self) -> bool:
        """Whether there is more to read."""
        return self.reader.unread() > 0

    def apply(self, event: dict[str, Any]) -> None:
        """Take one event in; one that no trainer writes (a step beyond 2^63, say) is passed over."""
        self.seq = event["seq"]
        with suppress(OverflowError, TypeError, ValueError):
            self._take(finite(event))

    def _take(self, event: dict[str, Any]) -> None:
        time, step = event.get("time"), event.get("step")
        if isinstance(time, int | float):
            self.seen = time
            self.began = time if self.began is None else self.began
        if not isinstance(step, int):
            step = self.step
        match event["kind"]:
            case "start":
                self.start, self.end = event, None
                self._back_to(step)
            case "resume":
                self._back_to(step)
            case "alert":
                self.alerts.append(event)
            case "checkpoint":
                self.checkpoints.append(event)
            case "sample":
                self.samples.append(event)
            case "end":
                self.end = event
            case kind:
                self._measure(event, step, is_step=kind == "step")

    def status(self, now: float) -> str:
        """`running`, `silent` (running, but nothing heard for long), or how it ended."""
        if self.end:
            return str(self.end.get("status"))
        patience = max(SILENCE_SECONDS, 20 * (self.pace.seconds_per_step() or 0))
        return "silent" if self.seen is not None and now - self.seen > patience else "running"

    def summary(self, now: float) -> dict[str, Any]:
        """Everything but the points."""
        total = self.start.get("total_steps")
        left = self.pace.left(total) if isinstance(total, int) and not self.end else None
        about = {
            key: self.start.get(key) for key in ("parameters", "device", "world", "tokens_per_step", "total_steps")
        }
        return about | {
            "name": self.name,
            "status": self.status(now),
            "reason": self.end.get("reason") if self.end else None,
            "step": self.step,
            "began": self.began,
            "seen": self.seen,
            "left": left[0] if left else None,
            "left_error": left[1] if left else None,
            "resumes": self.resumes,
            "latest": self.latest,
            "alerts": list(self.alerts),
            "checkpoints": list(self.checkpoints),
            "samples": list(self.samples)[-8:],
        }

    def points(self, generation: str | None, seq: int) -> dict[str, Any]:
        """The points after `seq`; all of them, marked as a reset, where the asker knew another generation."""
        reset = generation != self.generation
        after = -1 if reset else seq
        pictures = {name: series.since(after, HISTORY_POINTS) for name, series in self.series.items()}
        shown = {name: picture.plain() for name, picture in pictures.items() if len(picture.steps)}
        return {"run": self.name, "generation": self.generation, "seq": self.seq, "reset": reset, "series": shown}

    def _measure(self, event: dict[str, Any], step: int, is_step: bool) -> None:
        if is_step:
            self.step = step
            if isinstance(event.get("time"), int | float):
                self.pace.add(event["time"], step)
        for name, value in numbers(event):
            self.series.setdefault(name, Series()).append(event["seq"], step, math.nan if value is None else value)
            self.latest[name] = value

    def _back_to(self, step: int) -> None:
        """Steps beyond `step` were lost with the process that made them, and come again."""
        self.pace.marks.clear()
        self.step = step
        if any(series.steps and series.steps[-1] > step for series in self.series.values()):
            self.resumes += 1
            for series in self.series.values():
                series.cut_after(step)


def run_of(runs: Mapping[str, Run], name: str) -> Run:
    """The run of that name; 404 where there is none."""
    if name not in runs:
        raise HTTPException(404, "no such run")
    return runs[name]
