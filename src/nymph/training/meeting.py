"""A name that only this start of the ranks knows, so that they never read what an earlier start has left.

torch's launcher keeps one store through all restarts (`TORCHELASTIC_USE_AGENT_STORE`), with the addresses of killed
ranks still in it. A rank that starts before rank 0 has written its new address reads the old one, is refused, and
dies; on a busy machine that may repeat at every restart. The number of restarts is no such name: each machine of
several counts its own.
"""

import json
import time
from typing import Protocol
from uuid import uuid4

from nymph.errors import NymphError

_PAUSE = 0.02


class Store(Protocol):
    """The part of `torch.distributed.Store` that is used; no call of it waits."""

    def set(self, key: str, value: str, /) -> object: ...

    def get(self, key: str, /) -> bytes: ...

    def check(self, keys: list[str], /) -> bool: ...


def agree_on_name(store: Store, rank: int, size: int, timeout_seconds: float) -> str:
    """The same new name on every rank that starts now.

    Raises:
        NymphError: Another rank has not come in time.
    """
    deadline = time.monotonic() + timeout_seconds
    return _give(store, size, deadline) if rank == 0 else _ask(store, rank, deadline)


def _give(store: Store, size: int, deadline: float) -> str:
    """Answer every question, old ones too, until each rank has thanked for this very name."""
    name, waiting = uuid4().hex, set(range(1, size))
    while waiting:
        for rank in waiting:
            if question := _read(store, f"question/{rank}"):
                store.set(f"answer/{rank}", json.dumps([question, name]))
        waiting = {rank for rank in waiting if _read(store, f"thanks/{rank}") != name}
        _pause(deadline, f"rank 0 waits for ranks {sorted(waiting)}")
    return name


def _ask(store: Store, rank: int, deadline: float) -> str:
    """Wait for the answer to a question that nobody has asked before."""
    question = uuid4().hex
    store.set(f"question/{rank}", question)
    while True:
        answered, name = json.loads(_read(store, f"answer/{rank}") or '["", ""]')
        if answered == question:
            store.set(f"thanks/{rank}", name)
            return str(name)
        _pause(deadline, f"rank {rank} waits for rank 0")


def _read(store: Store, key: str) -> str:
    return store.get(key).decode() if store.check([key]) else ""


def _pause(deadline: float, who: str) -> None:
    if time.monotonic() > deadline:
        raise NymphError(f"{who}, which does not come; see its own log, or raise launch.timeout_seconds")
    time.sleep(_PAUSE)
