"""Ranks that stand still while the others wait for them, named.

A collective operation says nothing about whom it waits for. So a thread of every rank tells the others, through the
store that torch.distributed has met in, that it lives and at which step its rank is. A rank that falls silent (stopped,
swapped out, its machine gone) is named; where all speak, the ones behind are. Steps pay nothing for it.
"""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from nymph.training.threads import start_helper


class Store(Protocol):
    """The part of `torch.distributed.Store` that is used."""

    def set(self, key: str, value: str, /) -> object: ...

    def get(self, key: str, /) -> bytes: ...

    def check(self, keys: list[str], /) -> bool: ...


@dataclass
class _Seen:
    """What was last heard of a rank."""

    step: int = -1
    pulse: int = -1
    heard: float = 0.0
    """When its pulse last changed."""

    @property
    def last(self) -> str:
        return f"last heard at step {self.step}" if self.pulse >= 0 else "never heard"


class StallWatch:
    """One rank's pulse, and its eye on the others.

    Args:
        store: Shared by all ranks.
        rank, size: This rank among all.
        seconds: Without a step after which someone is named.
        tell: Given the sentence, from the watching thread, once an episode.
    """

    def __init__(self, store: Store, rank: int, size: int, seconds: float, tell: Callable[[str], None]) -> None:
        self._store, self._rank, self._seconds, self._tell = store, rank, seconds, tell
        self._seen = [_Seen(heard=time.monotonic()) for _ in range(size)]
        self._step, self._pulse = 0, 0
        self._moved, self._told = time.monotonic(), False
        self._closed = threading.Event()

    def start(self) -> "StallWatch":
        """Watch in a thread until `close`."""
        start_helper(self._run, "nymph-stalls", daemon=True)
        return self

    def close(self) -> None:
        self._closed.set()

    def beat(self, step: int) -> None:
        """This rank has begun `step`."""
        self._step = step

    def look(self) -> None:
        """Tell the others of this rank, hear of them, and name who holds everybody up."""
        self._exchange()
        now = time.monotonic()
        if now - self._moved < self._seconds:
            self._told = False
        elif not self._told and (culprits := self._culprits(now)):
            self._told = True
            names = " and ".join(f"rank {rank} ({why})" for rank, why in culprits.items())
            self._tell(f"no step for {now - self._moved:.0f} s: the others wait for {names}")

    def culprit(self) -> tuple[int, str] | None:
        """The one rank that all others have long been waiting for, and how that shows; None where it is not one."""
        now = time.monotonic()
        culprits = self._culprits(now) if now - self._moved >= self._seconds else {}
        return next(iter(culprits.items())) if len(culprits) == 1 else None

    def _exchange(self) -> None:
        self._pulse += 1
        self._store.set(_key(self._rank), json.dumps([self._pulse, self._step]))
        for rank, seen in enumerate(self._seen):
            if not self._store.check([_key(rank)]):
                continue
            pulse, step = json.loads(self._store.get(_key(rank)))
            if pulse != seen.pulse:
                seen.heard, seen.pulse = time.monotonic(), pulse
            if step != seen.step:
                self._moved, seen.step = time.monotonic(), step

    def _culprits(self, now: float) -> dict[int, str]:
        silent = {rank: seen for rank, seen in enumerate(self._seen) if now - seen.heard >= self._seconds / 2}
        if silent:
            return {rank: f"silent for {now - seen.heard:.0f} s, {seen.last}" for rank, seen in silent.items()}
        last = max(seen.step for seen in self._seen)
        return {rank: f"still at step {seen.step}" for rank, seen in enumerate(self._seen) if seen.step < last}

    def _run(self) -> None:
        try:
            while not self._closed.wait(self._seconds / 6):
                self.look()
        except RuntimeError:  # the store is gone: the launcher has ended, and says why itself
            return


def _key(rank: int) -> str:
    return f"nymph/rank/{rank}"
