"""Time left, with an honest error: from how evenly the latest steps came."""

import itertools
import statistics
from collections import deque
from dataclasses import dataclass, field

WINDOW = 400
_BLOCKS = 8


@dataclass
class Pace:
    """The latest steps and when each was logged; pauses for evaluation and checkpoints are part of the pace."""

    marks: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def add(self, time: float, step: int) -> None:
        """A step was logged at `time` (unix seconds). Going back in steps or in time begins anew."""
        if self.marks and (step <= self.marks[-1][1] or time < self.marks[-1][0]):
            self.marks.clear()
        self.marks.append((time, step))

    def seconds_per_step(self) -> float | None:
        """Mean over the window, or None before the second step."""
        return _pace(self.marks[0], self.marks[-1]) if len(self.marks) > 1 else None

    def left(self, total_steps: int) -> tuple[float, float] | None:
        """Seconds to `total_steps` and the error of that (one standard error of the pace, by blocks of steps)."""
        mean = self.seconds_per_step()
        if mean is None:
            return None
        remaining = max(0, total_steps - self.marks[-1][1])
        return remaining * mean, remaining * self._error(mean)

    def _error(self, mean: float) -> float:
        edges = [round(i * (len(self.marks) - 1) / _BLOCKS) for i in range(_BLOCKS + 1)]
        if len(set(edges)) < len(edges):
            return mean / 2  # too few steps to know better
        paces = [_pace(self.marks[a], self.marks[b]) for a, b in itertools.pairwise(edges)]
        return statistics.stdev(paces) / len(paces) ** 0.5


def _pace(first: tuple[float, int], last: tuple[float, int]) -> float:
    return (last[0] - first[0]) / (last[1] - first[1])
