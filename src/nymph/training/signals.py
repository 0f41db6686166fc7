"""Signals as requests the loop answers between two steps.

SIGINT and SIGTERM ask for an end with a checkpoint, SIGUSR1 for a checkpoint. A second SIGINT or SIGTERM exits at
once: the checkpoint before is whole. Outside the main thread signals stay as they are.
"""

import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM)


class Requests:
    """What signals have asked for while the context is open.

    Args:
        echo: Seconds in which a second signal is taken for the first one. A launcher passes signals on to ranks that
            have had them already where all processes got them: from Ctrl-C, or systemd.
    """

    def __init__(self, echo: float = 0.0) -> None:
        self._echo, self._asked = echo, 0.0
        self.end: int | None = None
        """The signal that asked for an end."""
        self.checkpoint = False
        """Whether a checkpoint was asked for."""
        self.stop = False
        """Whether the run was asked to stop by its control file."""
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Requests":
        if threading.current_thread() is threading.main_thread():
            for number in (*ENDING, signal.SIGUSR1):
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def wait_for_end(self, seconds: float) -> None:
        """Return once somebody asks for an end, or after `seconds`."""
        deadline = time.monotonic() + seconds
        while self.end is None and time.monotonic() < deadline:
            time.sleep(0.05)

    def raise_end(self) -> None:
        """Leave the process the way the signal meant it: KeyboardInterrupt, or exit status 143."""
        if self.end == signal.SIGINT:
            raise KeyboardInterrupt
        if self.end is not None:
            raise SystemExit(128 + self.end)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGUSR1:
            self.checkpoint = True
        elif self.end is None:
            self.end, self._asked = number, time.monotonic()
        elif time.monotonic() - self._asked >= self._echo:
            os._exit(128 + number)
