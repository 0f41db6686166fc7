"""Work on many items by the engine that is configured: this process, others beside it, or a cluster.

Items are taken a few ahead of what is done, and outcomes come as they are ready: memory does not grow with the number
of items. A killed worker costs the items it had: those that were under way are tried again, each alone, and one that
kills its worker twice is lost and named. The price of surviving is that loky starts its processes, and their models,
anew.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

from joblib import delayed

from nymph.engines import ComputeOptions, Deaths, Run, engine_of
from nymph.errors import NymphError
from nymph.lazy import ModelError
from nymph.stages import Failed, Item, Made, Outcome, failure_of

__all__ = ["ComputeOptions", "Lost", "PerItem", "spread"]

T = TypeVar("T")
R = TypeVar("R")
Store = Callable[[Item, Any], None]
"""Puts an item's value where it belongs, in the process that made it."""


class Lost:
    """What an item gives that killed its worker, alone and twice."""


def spread(work: Callable[[T], R], items: Sequence[T], options: ComputeOptions) -> Iterator[tuple[T, R | Lost]]:
    """Each item with what `work` gives, in the order in which they are ready.

    Exceptions of `work` end the stream. `work` and the items must be picklable where other processes are involved.

    Raises:
        NymphError: the engine is not installed, or the cluster cannot be reached.
    """
    if options.here or (options.engine == "loky" and len(items) == 1):
        yield from ((item, work(item)) for item in items)
        return
    jobs = min(options.n_jobs, max(2, len(items)))  # joblib takes 1 for "in this process"
    run, deaths = engine_of(options.model_copy(update={"n_jobs": jobs}))
    rest = iter(items)
    while True:
        feed = _Feed(rest)
        try:
            for number, result in run(delayed(_numbered)(work, number, item) for number, item in feed):
                yield feed.taken.pop(number), result
            return
        except deaths:
            for item in feed.close():
                yield item, _alone(work, item, run, deaths)


@dataclass(frozen=True)
class PerItem:
    """A `nymph.stages.Work.make` that makes each item by itself, wherever the options say.

    `store`, where there is one, runs where the item is made, so that no value travels between processes; outcomes
    then carry None. `NymphError` quarantines an item, and so does the death of its worker.
    """

    one: Callable[[Item], Any]
    options: ComputeOptions
    store: Store | None = None

    def storing(self, store: Store) -> "PerItem":
        """The same work, each value put away by the process that made it."""
        return replace(self, store=store)

    def __call__(self, items: Sequence[Item]) -> Iterator[Outcome]:
        """An outcome for each item, in the order in which they are ready."""
        for item, outcome in spread(partial(_outcome, self.one, self.store), items, self.options):
            yield _lost(item) if isinstance(outcome, Lost) else replace(outcome, item=item)


def _outcome(one: Callable[[Item], Any], store: Store | None, item: Item) -> Outcome:
    try:
        value = one(item)
        return Made(item, value if store is None else store(item, value))
    except ModelError:
        raise
    except NymphError as error:
        return failure_of(item, error)


def _lost(item: Item) -> Failed:
    return Failed(item, "worker_killed", "expected an outcome, got a killed worker twice: out of memory, or a crash")


class _Feed(Generic[T]):
    """Items as joblib takes them, from whichever thread, and which of them are still under way."""

    def __init__(self, items: Iterator[T]) -> None:
        self.taken: dict[int, T] = {}
        self._items, self._lock, self._open = items, threading.Lock(), True
        self._count = 0

    def __iter__(self) -> Iterator[tuple[int, T]]:
        return self

    def __next__(self) -> tuple[int, T]:
        with self._lock:
            if not self._open:
                raise StopIteration
            item = next(self._items)
            self._count += 1
            self.taken[self._count] = item
            return self._count, item

    def close(self) -> list[T]:
        """Give out no more; the items whose outcome never came."""
        with self._lock:
            self._open = False
            return list(self.taken.values())


def _numbered(work: Callable[[T], R], number: int, item: T) -> tuple[int, R]:
    return number, work(item)


def _alone(work: Callable[[T], R], item: T, run: Run, deaths: Deaths) -> R | Lost:
    try:
        ((_, result),) = run([delayed(_numbered)(work, 0, item)])
    except deaths:
        return Lost()
    return result  # type: ignore[no-any-return]
