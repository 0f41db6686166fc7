"""What one Kedro run owes to MLflow, as files that outlive every process.

`<runs directory>/.tracking/<kedro run>/` holds `start.json` and `end.json`, written by the Kedro process, and
`sent.json`, written by the follower that replays event logs to MLflow. Nothing here imports MLflow, so a server that is
down or slow costs the run nothing; the price is that the MLflow run appears seconds after the Kedro run has begun.
"""

import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from nymph.files import read_json, write_json
from nymph.training.events import EVENTS

FOLDER = ".tracking"


@dataclass(frozen=True)
class Start:
    """What is known when a Kedro run begins; never changed afterwards."""

    run: str
    """Kedro's run id."""
    experiment: str
    tracking_uri: str
    name: str | None = None
    """Shown by MLflow; None lets it choose one."""
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    """Dataset name -> fingerprint, of what the run begins from."""
    system_metrics: bool = True
    offsets: dict[str, int] = field(default_factory=dict)
    """Bytes already in each event log when the run began: these belong to earlier runs."""
    logs: list[str] | None = None
    """The event logs of this run alone; None is every log that grows meanwhile."""
    parent: str | None = None
    """Folder of the journal of the sweep this run is a trial of."""
    time: float = field(default_factory=time.time)
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    pid_created: float = field(default_factory=lambda: psutil.Process().create_time())

    @property
    def is_sweep(self) -> bool:
        """Whether trials may be nested in this run."""
        return self.logs is not None and self.parent is None


@dataclass(frozen=True)
class End:
    """How a Kedro run ended: `FINISHED`, `FAILED` or `KILLED`, MLflow's words."""

    status: str
    reason: str = ""
    reports: list[str] = field(default_factory=list)
    """Files the run has written that belong beside its figures."""
    inputs: dict[str, str] = field(default_factory=dict)
    """Dataset name -> fingerprint, of what some of its nodes made and others took in."""
    offsets: dict[str, int] = field(default_factory=dict)
    """Bytes in each event log when the run ended: what comes after belongs to later runs."""
    time: float = field(default_factory=time.time)


@dataclass
class Sent:
    """How far the replay has come. Written after MLflow has acknowledged, so a crash repeats but never skips."""

    run_id: str | None = None
    events: dict[str, int] = field(default_factory=dict)
    """Log -> `seq` of the last event acknowledged."""
    first: str = ""
    """The log whose metrics keep their plain names."""
    training: str = ""
    """How the training said it ended, once it has."""
    described: bool = False
    """Params, tags and inputs have arrived."""
    done: bool = False
    error: str = ""
    """Why the last attempt failed, or empty."""


@dataclass(frozen=True)
class Journal:
    """The files of one Kedro run."""

    folder: Path

    @classmethod
    def create(cls, runs_directory: Path, start: Start) -> "Journal":
        """Begin the journal of a run, or go on with it; from now on a follower can serve it."""
        name = re.sub(r"[^\w.-]+", "-", start.run) or "run"
        journal = cls(runs_directory / FOLDER / name)
        (journal.folder / "end.json").unlink(missing_ok=True)
        if (sent := journal.sent).done:
            journal.acknowledge(replace(sent, done=False))
        write_json(journal.folder / "start.json", asdict(start))
        return journal

    @property
    def runs_directory(self) -> Path:
        """Where the event logs are."""
        return self.folder.parent.parent

    @property
    def start(self) -> Start:
        """What the run wrote when it began."""
        return Start(**read_json(self.folder / "start.json"))

    @property
    def sent(self) -> Sent:
        """How far the replay has come."""
        return Sent(**self._read("sent.json"))

    def acknowledge(self, sent: Sent) -> None:
        """Remember what MLflow has."""
        write_json(self.folder / "sent.json", asdict(sent))

    def end(self, end: End) -> None:
        """Record how the run ended, and where its part of each log ends; the first word stands."""
        if not (self.folder / "end.json").exists():
            write_json(self.folder / "end.json", asdict(end) | {"offsets": log_sizes(self.runs_directory)})

    def ended(self) -> End | None:
        """How the run ended, or None while it goes on; a run whose process vanished was killed."""
        if found := self._read("end.json"):
            return End(**found)
        start = self.start
        if start.host != socket.gethostname() or _alive(start.pid, start.pid_created):
            return None
        self.end(End("KILLED", "its process ended without saying why"))
        return self.ended()

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """True for the one process that may replay this journal; the lock dies with its owner."""
        lock = FileLock(self.folder / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def _read(self, name: str) -> dict[str, Any]:
        try:
            return read_json(self.folder / name)
        except FileNotFoundError:
            return {}


def journals(runs_directory: Path) -> list[Journal]:
    """Every journal under a runs directory, oldest first."""
    return [Journal(file.parent) for file in sorted((runs_directory / FOLDER).glob("*/start.json"))]


def log_sizes(runs_directory: Path) -> dict[str, int]:
    """Bytes in each run's event log now."""
    return {log.parent.name: log.stat().st_size for log in sorted(runs_directory.glob(f"*/{EVENTS}"))}


def _alive(pid: int, created: float) -> bool:
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - created) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
