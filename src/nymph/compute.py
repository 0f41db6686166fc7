"""Work on many items by the engine that is configured: this process, others beside it, or a cluster.

joblib spreads work over processes and threads; Dask and Ray, whose joblib backends lose killed workers or cannot
stream, are asked directly. Items are taken a few ahead of what is done, and outcomes come as they are ready: memory
does not grow with the number of items. A killed worker costs the items it had: those that were under way are tried
again, each alone, and one that kills its worker twice is lost and named. The price of surviving is that loky starts
its processes, and their models, anew.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import islice
from typing import Any, Generic, Literal, TypeVar

from joblib import Parallel, delayed
from pydantic import BaseModel, ConfigDict, Field

from nymph.errors import NymphError
from nymph.lazy import ModelError
from nymph.stages import Failed, Item, Made, Outcome, failure_of

T = TypeVar("T")
R = TypeVar("R")
AHEAD = 2
"""Items under way, or next, for each job."""
Store = Callable[[Item, Any], None]
"""Puts an item's value where it belongs, in the process that made it."""


class ComputeOptions(BaseModel):
    """`params:compute`: where items are worked on, for every stage that works item by item."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine: Literal["loky", "threading", "dask", "ray"] = "loky"
    """Processes of this machine (`loky`), threads, or a Dask or Ray cluster that shares the project's folder."""
    n_jobs: int = Field(default=1, ge=1, le=4096)
    """Items worked on at once; 1 with `loky` or `threading` works in this process."""
    address: str | None = None
    """Of a running cluster, such as `tcp://10.0.0.5:8786`; null starts one on 127.0.0.1 for this run."""

    @property
    def here(self) -> bool:
        """Whether everything happens in this process, one item after another."""
        return self.n_jobs == 1 and self.engine in ("loky", "threading")

    def for_model(self, single: bool) -> "ComputeOptions":
        """For work with a model: no threads share one, and of a `single` model (on a GPU) there is only one."""
        return ComputeOptions() if single or self.engine == "threading" else self


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
    run, deaths = _engine(options.model_copy(update={"n_jobs": jobs}))
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


Run = Callable[[Iterable[Any]], Iterator[tuple[int, Any]]]
Deaths = tuple[type[BaseException], ...]


def _alone(work: Callable[[T], R], item: T, run: Run, deaths: Deaths) -> R | Lost:
    try:
        ((_, result),) = run([delayed(_numbered)(work, 0, item)])
    except deaths:
        return Lost()
    return result  # type: ignore[no-any-return]


def _engine(options: ComputeOptions) -> tuple[Run, Deaths]:
    """How to run tasks there, and what is raised when a worker dies."""
    return {"loky": _loky, "threading": _threading, "dask": _dask, "ray": _ray}[options.engine](options)


def _joblib(options: ComputeOptions) -> Run:
    def run(tasks: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        parallel = Parallel(
            options.n_jobs,
            backend=options.engine,
            return_as="generator_unordered",
            batch_size=1,
            pre_dispatch=f"{AHEAD}*n_jobs",
        )
        return iter(parallel(tasks))

    return run


def _threading(options: ComputeOptions) -> tuple[Run, Deaths]:
    return _joblib(options), ()


def _loky(options: ComputeOptions) -> tuple[Run, Deaths]:
    from joblib.externals.loky.process_executor import BrokenProcessPool

    return _joblib(options), (BrokenProcessPool,)


def _dask(options: ComputeOptions) -> tuple[Run, Deaths]:
    """Dask without joblib, whose Dask backend waits for ever for a task whose worker was killed."""
    try:
        from distributed import KilledWorker, as_completed
    except ImportError as error:
        raise NymphError("engine: dask needs the package 'distributed': pip install distributed") from error
    client = _dask_client(options.address, options.n_jobs)

    def run(tasks: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        source = iter(tasks)
        submitted = (client.submit(function, *arguments, pure=False) for function, arguments, _ in source)
        waiting = as_completed(islice(submitted, AHEAD * options.n_jobs), loop=client.loop)
        try:
            for future in waiting:
                yield future.result()
                for following in islice(submitted, 1):
                    waiting.add(following)
        finally:
            client.cancel(list(waiting.futures))

    return run, (KilledWorker,)


@cache
def _dask_client(address: str | None, n_jobs: int) -> Any:
    """A client of the cluster; kept for the process, because a cluster of one's own takes seconds to start."""
    import dask
    from distributed import Client, LocalCluster

    if address is None:
        local = "127.0.0.1"
        quiet: dict[str, Any] = {"silence_logs": logging.CRITICAL, "dashboard_address": f"{local}:0"}
        with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
            cluster = LocalCluster(n_workers=n_jobs, threads_per_worker=1, host=local, **quiet)
        return Client(cluster, set_as_default=False)
    try:
        return Client(address, set_as_default=False, timeout=5)
    except (OSError, ValueError) as error:
        raise NymphError(f"expected a Dask scheduler at {address}, got: {error}; is it running?") from error


def _ray(options: ComputeOptions) -> tuple[Run, Deaths]:
    """Ray without joblib, for which it cannot give results as they come."""
    try:
        import ray
    except ImportError as error:
        raise NymphError("engine: ray needs the package 'ray': pip install ray") from error
    if not ray.is_initialized():
        local = {} if options.address else {"num_cpus": options.n_jobs, "_node_ip_address": "127.0.0.1"}
        quiet = {"include_dashboard": False, "logging_level": logging.ERROR, "log_to_driver": False}
        ray.init(address=options.address, **({} if options.address else quiet), **local)
    call = ray.remote(max_retries=0)(_called)

    def run(tasks: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        submitted = (call.remote(function, arguments) for function, arguments, _ in tasks)
        waiting = list(islice(submitted, AHEAD * options.n_jobs))
        try:
            while waiting:
                (ready,), waiting = ray.wait(waiting)
                yield ray.get(ready)
                waiting += islice(submitted, 1)
        finally:
            for unfinished in waiting:
                ray.cancel(unfinished, force=True)

    return run, (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError, ray.exceptions.NodeDiedError)


def _called(function: Callable[..., R], arguments: Sequence[Any]) -> R:
    return function(*arguments)
