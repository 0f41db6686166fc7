"""What a server has done, counted: one lock, plain numbers, read by the stats action and the metrics page."""

import threading
import time
from bisect import bisect_left
from collections import Counter
from typing import Any

LATENCIES = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
"""Upper bounds in seconds of the latency histograms."""
_COUNTS = ("rows", "bytes", "batches", "streams", "streams_ended", "refused", "preparing", "upload_bytes")


class Histogram:
    """Durations in seconds, by bucket."""

    def __init__(self) -> None:
        self._counts = [0] * (len(LATENCIES) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        self._counts[bisect_left(LATENCIES, seconds)] += 1
        self._sum += seconds

    def snapshot(self) -> dict[str, Any]:
        """Bounds, counts (one more than bounds) and sum."""
        return {"bounds": list(LATENCIES), "counts": list(self._counts), "sum": self._sum}


class Stats:
    """Counters of one server. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._counts: Counter[str] = Counter()
        self._calls: Counter[tuple[str, str]] = Counter()
        self._latency, self._making, self._taking = Histogram(), Histogram(), Histogram()

    def add(self, name: str, change: int = 1) -> None:
        """Change one of the plain counters."""
        with self._lock:
            self._counts[name] += change

    def made(self, rows: int, size: int, seconds: float) -> None:
        """A batch was made in `seconds` and handed to the wire."""
        with self._lock:
            for name, change in (("rows", rows), ("bytes", size), ("batches", 1)):
                self._counts[name] += change
            self._making.add(seconds)

    def taken(self, seconds: float) -> None:
        """The wire took a batch after `seconds`: how long the queue of one batch stood still for its reader."""
        with self._lock:
            self._taking.add(seconds)

    def call(self, method: str, outcome: str, seconds: float) -> None:
        """A call was answered."""
        with self._lock:
            self._calls[method, outcome] += 1
            self._latency.add(seconds)

    def snapshot(self) -> dict[str, Any]:
        """All numbers at one moment, as JSON values."""
        with self._lock:
            counts = {name: self._counts[name] for name in _COUNTS}
            calls = [
                {"method": method, "outcome": outcome, "count": count}
                for (method, outcome), count in sorted(self._calls.items())
            ]
            times = {"call": self._latency, "make": self._making, "queue": self._taking}
            seconds = {f"{name}_seconds": histogram.snapshot() for name, histogram in times.items()}
        return {**counts, "calls": calls, **seconds, "uptime_s": time.monotonic() - self._started}
