"""Trainers that are killed (SIGKILL) at a moment of their own run, counted from within.

Whoever watches a trainer and kills it from outside comes too late on some machine, and in vain.
"""

import itertools
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from nymph.training.__main__ import main
from nymph.training.events import EventLog


def after_steps(path: str, count: int) -> None:
    """Train the job in the file `path` until `count` more steps are in the log."""
    write, strike = EventLog.write, _dies_at(count)

    def counted(log: EventLog, kind: str, **fields: Any) -> dict[str, Any]:
        event = write(log, kind, **fields)
        if kind == "step":
            strike()
        return event

    EventLog.write = counted  # type: ignore[method-assign]
    main([path])


def inside_a_write(path: str, count: int) -> None:
    """Train the job in the file `path` until the thread that saves flushes to disk for the `count`-th time."""
    fsync, strike = os.fsync, _dies_at(count)

    def counted(descriptor: int) -> None:
        if threading.current_thread().name == "nymph-saver":
            strike()
        fsync(descriptor)

    os.fsync = counted
    main([path])


def _dies_at(count: int) -> Callable[[], None]:
    """What ends this process when it is called for the `count`-th time."""
    calls = itertools.count(1)

    def strike() -> None:
        if next(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)

    return strike
