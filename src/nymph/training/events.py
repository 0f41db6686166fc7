"""The event log: one JSON object a line, appended while training, read by the dashboard, MLflow and the terminal.

The writer pays one `write` call a line and never waits for a reader. Lines reach the disk itself only
at `checkpoint` and `end`: a killed process loses nothing, a power cut may lose lines a checkpoint would repeat.
A reader may meet an unfinished last line; it is not an event until its newline is there. Standard library only.
"""

import json
import math
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

EVENTS = "events.jsonl"
"""Name of the log in a run directory."""

SAMPLES = "samples"
"""Folder beside it: the files that `sample` events name."""

DURABLE = ("start", "checkpoint", "end")
"""Kinds after which the log is fsynced."""

_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False)


class EventLog:
    """The only writer of a log; `seq` continues over restarts, and a line torn by a crash is cut off first."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        self._sequence = _repair(self._descriptor) + 1
        self._lock = threading.Lock()

    def write(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Append one event and return it, with `seq`, `time` (unix seconds) and `kind` first. Any thread may."""
        with self._lock:
            event = {"seq": self._sequence, "time": time.time(), "kind": kind, **fields}
            try:
                line = _ENCODER.encode(event)
            except ValueError:  # rare, so that other events need not be searched for what JSON cannot say
                line = _ENCODER.encode(event := finite(event))
            _write_all(self._descriptor, line.encode() + b"\n")
            self._sequence += 1
        if kind in DURABLE:
            os.fsync(self._descriptor)
        return event

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> "EventLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class EventReader:
    """Follows a growing log: each `poll` gives the events finished since the last, reading only the new bytes."""

    def __init__(self, path: str | os.PathLike[str], after: int = -1) -> None:
        self.path = Path(path)
        self.after = after
        """`seq` of the last event given out."""
        self.offset = 0
        """Byte after the last finished line read."""

    def unread(self) -> int:
        """Bytes that a poll would read; below 0 where a shorter log has taken the place of the one read."""
        try:
            return os.stat(self.path).st_size - self.offset
        except FileNotFoundError:
            return -self.offset

    def poll(self, limit: int = -1) -> list[dict[str, Any]]:
        """New events with `seq` > `after`, oldest first; empty while the log does not exist.

        `limit` bounds the bytes read at once (and a little more, to end a line); poll again until nothing comes.
        """
        try:
            with open(self.path, "rb") as file:
                if os.fstat(file.fileno()).st_size < self.offset:  # another log took its place
                    self.offset = 0
                file.seek(self.offset)
                data = file.read(limit)
                if len(data) == limit and not data.endswith(b"\n"):
                    data += file.readline()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self.offset += len(whole)
        events = [event for line in whole.split(b"\n") if (event := _parse(line)) and event["seq"] > self.after]
        self.after = max([self.after, *(event["seq"] for event in events)])
        return events


def read_events(path: str | os.PathLike[str], after: int = -1) -> Iterator[dict[str, Any]]:
    """The events with `seq` > `after`, oldest first; an unfinished last line and unreadable lines are left out."""
    try:
        file = open(path, "rb")  # noqa: SIM115
    except FileNotFoundError:
        return
    with file:
        for line in file:
            event = _parse(line) if line.endswith(b"\n") else None
            if event and event["seq"] > after:
                yield event


def finite(value: Any) -> Any:
    """`value` with non-finite numbers as None: NaN is not JSON, and a browser would refuse the line."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("seq"), int) and "kind" in event else None


def _repair(descriptor: int, block: int = 1 << 16) -> int:
    """Cut an unfinished last line off; return the `seq` of the last event, or -1."""
    size = os.fstat(descriptor).st_size
    tail, start = b"", size
    while start > 0:
        start = max(0, start - block)
        tail = os.pread(descriptor, size - start, start)
        whole = tail[: tail.rfind(b"\n") + 1]
        for line in reversed(whole.split(b"\n")[0 if start == 0 else 1 :]):
            if event := _parse(line):
                os.ftruncate(descriptor, start + len(whole))
                return int(event["seq"])
        block *= 2
    os.ftruncate(descriptor, tail.rfind(b"\n") + 1)
    return -1


def _write_all(descriptor: int, data: bytes) -> None:
    written = os.write(descriptor, data)
    while written < len(data):
        written += os.write(descriptor, data[written:])
