"""What a server has done, counted: one lock, plain numbers, read by the stats action and the metrics page."""

import threading
import time
from bisect import bisect_left
from collections import Counter
from typing import Any

LATENCIES = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
"""Upper bounds in seconds of the latency histogram of calls."""


class Stats:
    """Counters of one server. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._counts: Counter[str] = Counter()
        self._calls: Counter[tuple[str, str]] = Counter()
        self._latency = [0] * (len(LATENCIES) + 1)
        self._seconds = 0.0

    def batch(self, rows: int, size: int) -> None:
        """One batch was handed to the wire."""
        with self._lock:
            self._counts["rows"] += rows
            self._counts["bytes"] += size
            self._counts["batches"] += 1

    def stream(self, change: int) -> None:
        """A stream opened (1) or ended (-1)."""
        with self._lock:
            self._counts["streams"] += change

    def call(self, method: str, outcome: str, seconds: float) -> None:
        """A call was answered."""
        with self._lock:
            self._calls[method, outcome] += 1
            self._latency[bisect_left(LATENCIES, seconds)] += 1
            self._seconds += seconds

    def snapshot(self) -> dict[str, Any]:
        """All numbers at one moment, as JSON values."""
        with self._lock:
            counts = {name: self._counts[name] for name in ("rows", "bytes", "batches", "streams")}
            calls = [
                {"method": method, "outcome": outcome, "count": count}
                for (method, outcome), count in sorted(self._calls.items())
            ]
            latency = {"bounds": list(LATENCIES), "counts": list(self._latency), "sum": self._seconds}
        return {**counts, "calls": calls, "latency": latency, "uptime_s": time.monotonic() - self._started}
