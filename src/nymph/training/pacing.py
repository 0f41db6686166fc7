"""Work beside the training that is in no hurry: a little at a time, until somebody waits for it.

A core that is busy beside the training slows it even where it was idle before: memory, caches and the kernel are
shared. The same work at a sixteenth of the speed is hardly felt. What that costs is that it is done later.
"""

import threading
import time

SHARE = 0.06
"""Of a core's time, what unhurried work takes where it may take as long as it likes."""

WORTH = 0.001
"""Seconds of work that are worth a rest."""


class Pace:
    """Gives rests to a new thread that does `total` (of bytes, say) in pieces, all of it in `seconds` from now."""

    def __init__(self, total: int, seconds: float) -> None:
        self._total, self._seconds, self._done = total, seconds, 0
        self._begin = time.perf_counter()
        self._rested = 0.0  # that thread's own CPU time
        self._hurry = threading.Event()

    def rest(self, size: int) -> None:
        """Called by the thread after a piece of `size`: sleep as `SHARE` asks, and no longer than there is time for."""
        self._done += size
        worked = time.thread_time() - self._rested
        if worked < WORTH:
            return
        due = self._begin + self._seconds * self._done / self._total
        pause = min(worked * (1 / SHARE - 1), due - time.perf_counter())
        if pause > 0:
            self._hurry.wait(pause)
        self._rested = time.thread_time()

    def hurry(self) -> None:
        """No more rests, and none any longer: somebody waits. Any thread may."""
        self._hurry.set()
