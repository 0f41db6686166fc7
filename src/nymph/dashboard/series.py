"""One metric of one run, growing: append, cut back to a step, and a picture of any stretch in a few points.

Pictures keep the lowest and the highest value of each bucket, so a spike of a single step survives any zoom. A series
holds at most `CAPACITY` points; a longer run is thinned the same way, which trades the last detail of days-long runs
for a page that starts at once.
"""

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

CAPACITY = 1 << 18


@dataclass
class Series:
    """Parallel columns: `seq` of the event, training `steps`, `values` (NaN where not finite)."""

    seqs: "array[int]" = field(default_factory=lambda: array("q"))
    steps: "array[int]" = field(default_factory=lambda: array("q"))
    values: "array[float]" = field(default_factory=lambda: array("d"))

    def __len__(self) -> int:
        return len(self.seqs)

    def append(self, seq: int, step: int, value: float) -> None:
        """Add a point; steps rise."""
        if len(self) >= CAPACITY:
            self._keep(extremes(np.array(self.values), CAPACITY // 2))
        self.seqs.append(seq)
        self.steps.append(step)
        self.values.append(value)

    def cut_after(self, step: float) -> None:
        """Forget the points beyond `step`: a resumed run makes them again."""
        end = bisect_right(self.steps, step)
        for column in (self.seqs, self.steps, self.values):
            del column[end:]

    def since(self, seq: int, points: int) -> "Picture":
        """The points of events after `seq`, in at most about `points`."""
        return self._picture(bisect_right(self.seqs, seq), len(self), points)

    def between(self, start: float, stop: float, points: int) -> "Picture":
        """The points of steps `start` to `stop`, and one neighbour each side so that lines reach the edges."""
        first = max(0, bisect_left(self.steps, start) - 1)
        return self._picture(first, bisect_right(self.steps, stop) + 1, points)

    def _picture(self, first: int, last: int, points: int) -> "Picture":
        steps, values = np.array(self.steps[first:last]), np.array(self.values[first:last])
        kept = extremes(values, points)
        return Picture(steps[kept], values[kept])

    def _keep(self, kept: NDArray[np.intp]) -> None:
        for name in ("seqs", "steps", "values"):
            column = getattr(self, name)
            setattr(self, name, array(column.typecode, np.array(column)[kept].tolist()))


@dataclass(frozen=True)
class Picture:
    """What a chart draws."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]

    def plain(self) -> list[list[float | None]]:
        """`[steps, values]` as JSON takes them: five significant digits are more than a screen shows; NaN is null."""
        values = [float(f"{value:.6g}") if finite else None for value, finite in zip(*self._finite(), strict=True)]
        return [self.steps.tolist(), values]

    def _finite(self) -> tuple[list[float], list[bool]]:
        return self.values.tolist(), np.isfinite(self.values).tolist()


def extremes(values: NDArray[np.float64], points: int) -> NDArray[np.intp]:
    """Rising indices of the first, the last, and each bucket's lowest and highest value, about `points` in all.

    A bucket without a finite value keeps its first, so a gap stays a gap.
    """
    count = len(values)
    buckets = max(1, points // 2)
    if count <= 2 * buckets:
        return np.arange(count)
    width = -(-count // buckets)
    padded = np.full(width * -(-count // width), np.nan)
    padded[:count] = values
    table = padded.reshape(-1, width)
    finite = np.isfinite(table)
    lowest = np.where(finite, table, np.inf).argmin(axis=1)
    highest = np.where(finite, table, -np.inf).argmax(axis=1)
    offsets = np.arange(len(table)) * width
    return np.unique(np.concatenate([[0, count - 1], offsets + lowest, offsets + highest]))
