"""Many numbers as a few: quantiles and a histogram, held as plain floats until they are asked for."""

from array import array
from dataclasses import dataclass, field
from typing import Any

import numpy as np

BINS = 24


@dataclass
class Numbers:
    """Values of one kind, 8 bytes each."""

    values: "array[float]" = field(default_factory=lambda: array("d"))

    def add(self, value: float | None) -> None:
        """Take a value; None and NaN are absence."""
        if value is not None and value == value:
            self.values.append(value)

    def describe(self, low: float | None = None, high: float | None = None) -> dict[str, Any] | None:
        """Count, sum, quantiles and a histogram between `low` and `high`; None where there are no values."""
        if not self.values:
            return None
        values = np.frombuffer(self.values)
        first = values.min() if low is None else low
        last = values.max() if high is None else high
        last = last if last > first else first + 1  # a histogram of one value needs a width
        counts, edges = np.histogram(np.clip(values, first, last), BINS, (first, last))
        quantiles = np.quantile(values, [0.0, 0.05, 0.5, 0.95, 1.0])
        return {
            "count": len(values),
            "sum": _rounded(values.sum()),
            "mean": _rounded(values.mean()),
            **dict(zip(("least", "p5", "median", "p95", "most"), map(_rounded, quantiles), strict=True)),
            "histogram": {"edges": [_rounded(edge) for edge in edges], "counts": counts.tolist()},
        }


def _rounded(value: Any) -> float:
    return float(f"{float(value):.5g}")
