"""Follow every event log under a folder, and hand each client what it has not seen yet.

No client has a queue. Each has a cursor, and its next message is made from the cursor when it is ready for one: a slow
client gets fewer and coarser messages, never a growing backlog. Clients in step share one serialised message.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from nymph.dashboard.preparation import Preparation
from nymph.dashboard.receive import RECEIVED
from nymph.dashboard.run import READ_BYTES, Run
from nymph.training.events import EVENTS

LOOK_SECONDS = 0.05
"""Between looks at the logs: how late the first news after a silence may be. A look costs about 50 us."""
FULL_LOOK = 20
"""Every so many looks the folder is listed anew and finished runs are looked at: a resumed or new run shows in 1 s."""
REST_LOOKS = 9
"""Looks left out after news: a fast trainer updates pages about twice a second, not twenty times."""
CACHED_MESSAGES = 32


@dataclass(frozen=True)
class Cursor:
    """What one client has: the feed's version of the summaries, and its place in each run it watches."""

    version: int = 0
    watched: tuple[tuple[str, str | None, int], ...] = ()
    """(run, generation, seq)"""


@dataclass
class Feed:
    """All runs under a folder, and a version that rises whenever something about them changes."""

    directory: Path
    period: float = LOOK_SECONDS
    runs: dict[str, Run] = field(default_factory=dict)
    version: int = 0
    _summaries: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    _states: dict[str, tuple[str, int, str]] = field(default_factory=dict)
    _dirty: bool = False
    _looks: int = 0
    _left_at: int = 0
    """Version at which a run was last taken away."""
    _preparation_at: int = 0
    """Version at which preparation last moved."""
    _subscribers: set[asyncio.Event] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.preparation = Preparation(self.directory)
        self._message = lru_cache(CACHED_MESSAGES)(self._compose)

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Read logs in the background; everything already written is in before this returns."""
        await self.look()
        task = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            task.cancel()

    async def look(self) -> None:
        """Read what is new: in the logs of runs that go on at every look, in all others at every twentieth."""
        full = self._looks % FULL_LOOK == 0
        self._looks += 1
        if full:
            self._scan()
        due = [run for run in self.runs.values() if full or run.end is None]
        for run in due:
            await _catch_up(run)
        if (full or self.preparation.grown()) and await asyncio.to_thread(self.preparation.look):
            self._preparation_at, self._dirty = self.version + 1, True
        self._summarise(due, time.time())

    def _scan(self) -> None:
        places = (f"[!.]*/{EVENTS}", f"{RECEIVED}/*/{EVENTS}")
        logs = {log.parent.name: log for place in places for log in sorted(self.directory.glob(place))}
        for name in self.runs.keys() - logs.keys():
            del self.runs[name], self._summaries[name], self._states[name]
            self._left_at = self.version + 1
            self._dirty = True
        for name, log in logs.items():
            if name not in self.runs or self.runs[name].replaced():
                self.runs[name] = Run(log.parent)

    def message(self, cursor: Cursor) -> tuple[str | None, Cursor]:
        """The JSON text that brings a client from `cursor` to now (None: it is up to date), and its cursor then."""
        text, watched = self._message(self.version, cursor)
        return text, Cursor(self.version, watched)

    @contextmanager
    def subscribed(self) -> Iterator[asyncio.Event]:
        """An event that is set whenever there is news."""
        news = asyncio.Event()
        self._subscribers.add(news)
        try:
            yield news
        finally:
            self._subscribers.discard(news)

    def _compose(self, version: int, cursor: Cursor) -> tuple[str | None, tuple[tuple[str, str | None, int], ...]]:
        changed = [summary for at, summary in self._summaries.values() if at > cursor.version]
        points = [
            self.runs[name].points(generation, seq)
            for name, generation, seq in cursor.watched
            if name in self.runs and (generation, seq) != (self.runs[name].generation, self.runs[name].seq)
        ]
        places = {part["run"]: (part["run"], part["generation"], part["seq"]) for part in points}
        watched = tuple(places.get(place[0], place) for place in cursor.watched)
        if not changed and not points and cursor.version >= max(1, self._left_at, self._preparation_at):
            return None, watched
        body = {"version": version, "names": sorted(self.runs), "runs": changed, "points": points}
        if self._preparation_at > cursor.version:
            body["preparation"] = self.preparation.summary()
        return json.dumps(body, separators=(",", ":"), allow_nan=False), watched

    def _summarise(self, runs: list[Run], now: float) -> None:
        """A summary changes only with an event or with silence."""
        for run in runs:
            state = (run.generation, run.seq, run.status(now))
            if self._states.get(run.name) != state:
                self._states[run.name] = state
                self._summaries[run.name] = (self.version + 1, run.summary(now))
                self._dirty = True
        if self._dirty:
            self._dirty = False
            self.version += 1
            for news in self._subscribers:
                news.set()

    async def _follow(self) -> None:
        while True:
            before = self.version
            await self.look()
            await asyncio.sleep(self.period * (1 + REST_LOOKS * (self.version > before)))


async def _catch_up(run: Run) -> None:
    """A long log is read in pieces, so that a page asking meanwhile is answered."""
    if not run.grown():
        return
    with suppress(OSError):  # a log nobody may read is a run without events; the others go on
        while events := await asyncio.to_thread(run.reader.poll, READ_BYTES):
            for event in events:
                run.apply(event)
            await asyncio.sleep(0)
