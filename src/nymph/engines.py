"""The engines that `nymph.compute` spreads work over: loky and threads through joblib, Dask and Ray directly.

Dask's joblib backend waits for ever for a task whose worker was killed, and Ray's cannot give results as they come.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import islice
from typing import Any, Literal, TypeVar

from joblib import Parallel
from pydantic import BaseModel, ConfigDict, Field

from nymph.errors import NymphError

R = TypeVar("R")
AHEAD = 2
"""Items under way, or next, for each job."""
CONNECT_SECONDS = 30.0
"""How long a scheduler may take to answer; a busy machine needs several."""
RESTART = "1 hour"
"""How long a killed Dask worker may take to come back; by default Dask gives it up after 15 s, which a busy machine
exceeds, and work then waits for ever for a worker that nobody starts."""
Run = Callable[[Iterable[Any]], Iterator[tuple[int, Any]]]
"""From joblib's `delayed` calls to what they give, in the order in which they are ready."""
Deaths = tuple[type[BaseException], ...]
"""What is raised when a worker dies."""


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


def engine_of(options: ComputeOptions) -> tuple[Run, Deaths]:
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
        dask.config.set({"distributed.deploy.lost-worker-timeout": RESTART})  # read whenever a worker dies
        with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
            cluster = LocalCluster(n_workers=n_jobs, threads_per_worker=1, host=local, **quiet)
        return Client(cluster, set_as_default=False)
    try:
        return Client(address, set_as_default=False, timeout=CONNECT_SECONDS)
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
