"""The process that tells MLflow: it tails event logs, sends what is new every two seconds, and closes the run.

A process and not a thread, because MLflow's client is Python that would take the interpreter lock from every training
step. It also outlives a killed trainer, sees it vanish, sends the rest and marks the run KILLED. While the server is
away it keeps its place on disk and tries again; what is still unsent when it gives up, the next run's follower sends.
"""

import logging
import os
import random
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from nymph.tracking.journal import End, Journal, journals, log_sizes
from nymph.tracking.machine import sample
from nymph.tracking.store import Store
from nymph.training.events import EVENTS, EventLog, EventReader

PERIOD_SECONDS = 2.0
EVENTS_PER_CALL = 500
LONGEST_BACKOFF_SECONDS = 30.0
SYSTEM_LOG = "system.jsonl"
_STATUS = {"killed": "KILLED", "failed": "FAILED"}
"""Ends of a training after which the whole run is not finished; `stopped` means it reached a limit it was given."""
_logger = logging.getLogger(__name__)


def follow(folder: Path, patience: float = 20.0, system_period: float = 10.0) -> bool:
    """Serve one journal until its run has ended and MLflow has all of it; True when it has.

    After the end an unreachable server is tried for `patience` seconds more.
    """
    journal = Journal(folder)
    with journal.alone() as mine:
        if not mine:
            return False
        if journal.start.system_metrics:
            _sample_until_end(journal, system_period)
        done = Replay(journal).until_end(patience)
    if done:
        replay(journal.runs_directory)
    return done


def replay(runs_directory: Path) -> dict[str, bool]:
    """Send what earlier runs still owe; Kedro run -> whether MLflow now has all of it. Live runs are left alone."""
    return {journal.folder.name: _settle(journal) for journal in journals(runs_directory) if not journal.sent.done}


def _settle(journal: Journal) -> bool:
    if journal.ended() is None:
        return False
    with journal.alone() as mine:
        return mine and Replay(journal).until_end(patience=0)


class Replay:
    """One journal and its place in it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._start = journal.start
        self._sent = journal.sent
        self._store: Store | None = None
        self._readers = {"": self._reader(journal.folder / SYSTEM_LOG, "")}
        self._waiting: dict[str, list[dict[str, Any]]] = {}
        self._trials: dict[str, Replay] = {}
        """Of a sweep, those that were at work."""

    def until_end(self, patience: float) -> bool:
        """Send until the run has ended and nothing is left; False when the server stayed away too long."""
        give_up, failures = None, 0
        while True:
            end = self._journal.ended()
            if self._attempt(end):
                failures = 0
                if end:
                    return True
                self._wait(PERIOD_SECONDS)
                continue
            failures += 1
            if end and time.monotonic() >= (give_up := give_up or time.monotonic() + patience):
                return False
            self._wait(min(LONGEST_BACKOFF_SECONDS, 2.0**failures) * random.uniform(0.5, 1))

    def _attempt(self, end: End | None) -> bool:
        """Send everything there is; a failure is remembered in the journal, and what was sent stays sent."""
        try:
            self._send_all(end)
            if self._start.is_sweep:
                self._send_trials()
        except Exception as error:  # whatever MLflow, its HTTP client or its database raises: try again later
            self._sent.error = f"{type(error).__name__}: {error}"[:500]
            _logger.warning("MLflow at %s: %s", self._start.tracking_uri, self._sent.error)
            self._journal.acknowledge(self._sent)
            return False
        return True

    def _send_all(self, end: End | None) -> None:
        self._store = self._store or Store(self._start.tracking_uri)
        self._sent.run_id = self._sent.run_id or self._store.begin(self._start, self._parent())
        if not self._sent.described:
            self._store.describe(self._sent.run_id, self._start)
            self._sent.described = True
        self._sent.error = ""
        sizes = end.offsets if end else log_sizes(self._journal.runs_directory)
        for log, reader in self._readers_of_grown_logs(sizes).items():
            self._read(log, reader, sizes.get(log) if end else None)
            self._drain(self._store, log)
        if end:
            self._store.finish(self._sent.run_id, self._final(end))
            self._sent.done = True
        self._journal.acknowledge(self._sent)

    def _parent(self) -> str | None:
        """The MLflow run this one is nested in, None where it stands alone."""
        if self._start.parent is None:
            return None
        if run_id := Journal(self._journal.folder.with_name(self._start.parent)).sent.run_id:
            return run_id
        raise RuntimeError(f"the sweep {self._start.parent!r} is not in MLflow yet")

    def _send_trials(self) -> None:
        """What is new of this sweep's trials, of those at work too."""
        for journal in journals(self._journal.runs_directory):
            if journal.sent.done or journal.start.parent != self._journal.folder.name:
                continue
            with journal.alone() as mine:
                if mine:
                    self._trials.setdefault(journal.folder.name, Replay(journal))._attempt(journal.ended())

    def _readers_of_grown_logs(self, sizes: dict[str, int]) -> dict[str, EventReader]:
        """The logs this run has written to, and its own system samples under the name ""."""
        runs, before = self._journal.runs_directory, self._start.offsets
        for log, size in sizes.items():
            mine = self._start.logs is None or log in self._start.logs
            if mine and log not in self._readers and size != before.get(log):
                self._readers[log] = self._reader(runs / log / EVENTS, log)
        return self._readers

    def _reader(self, path: Path, log: str) -> EventReader:
        reader = EventReader(path, after=self._sent.events.get(log, -1))
        reader.offset = self._start.offsets.get(log, 0)
        return reader

    def _read(self, log: str, reader: EventReader, stop: int | None) -> None:
        """Take in what is new, of an ended run only what it wrote before byte `stop`."""
        if stop is None or stop > reader.offset:
            limit = -1 if stop is None else stop - reader.offset
            self._waiting.setdefault(log, []).extend(reader.poll(limit))

    def _drain(self, store: Store, log: str) -> None:
        """Send in pieces, each acknowledged; on a failure what was read waits for the next attempt."""
        waiting = self._waiting.setdefault(log, [])
        while waiting:
            events = waiting[:EVENTS_PER_CALL]
            folder = self._journal.runs_directory / log
            store.send(str(self._sent.run_id), events, folder, self._prefix(log))
            ends = [str(event.get("status")) for event in events if event["kind"] == "end"]
            self._sent.training = ends[-1] if ends else self._sent.training
            self._sent.events[log] = events[-1]["seq"]
            self._journal.acknowledge(self._sent)
            del waiting[: len(events)]

    def _prefix(self, log: str) -> str:
        """The first run's metrics keep their names; those of further ones begin with the run's name."""
        if log:
            self._sent.first = self._sent.first or log
        return f"{log}/" if log and log != self._sent.first else ""

    def _final(self, end: End) -> End:
        """A training that was killed is not a finished run, even where the pipeline went on and saved its state."""
        status = _STATUS.get(self._sent.training, "FINISHED")
        return replace(end, status=status) if end.status == "FINISHED" else end

    def _wait(self, seconds: float) -> None:
        """Sleep, but not beyond the end of the run."""
        deadline, ended = time.monotonic() + seconds, self._journal.ended() is not None
        while time.monotonic() < deadline and (ended or self._journal.ended() is None):
            time.sleep(0.2)


def _sample_until_end(journal: Journal, period: float) -> None:
    def write_samples() -> None:
        step = 0
        with EventLog(journal.folder / SYSTEM_LOG) as log:
            while journal.ended() is None:
                log.write("system", step=step, **sample(journal.folder))
                step += 1
                time.sleep(period)

    threading.Thread(target=write_samples, name="system-metrics", daemon=True).start()


def run_quietly(folder: Path) -> bool:
    """`follow`, at low priority and with its log beside the journal."""
    os.nice(10)
    logging.basicConfig(filename=folder / "follower.log", format="%(asctime)s %(levelname)s %(message)s")
    return follow(folder)
