"""Starting the ranks of a job on this machine, with restarts, through torch's own elastic launcher.

Ranks are forked from a server that has imported everything once and touched no GPU, so a restart takes a second.
On one machine they talk over the loopback interface only. A rank that dies takes the group down; the group starts
again from the last checkpoint, `launch.restarts` times, and then without the rank that died: rows are counted over
the whole run, so the curve goes on as it would have, only slower.
"""

import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from nymph.errors import NymphError
from nymph.training.checkpoint import list_checkpoints
from nymph.training.console import Progress, Silence
from nymph.training.control import ask
from nymph.training.events import EVENTS, EventReader
from nymph.training.fitting import noted
from nymph.training.job import Job
from nymph.training.report import Report
from nymph.training.world import FAILED

_REFUSED = "NymphError: "
_OTHER = re.compile(_REFUSED + FAILED.format(r"(\d+)"))
"""What a rank says that ended only because another one had to."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)
PRELOADED = ["nymph.training.__main__", "torch._dynamo", "pandas"]
"""Modules imported once for all ranks and restarts: torch's optimizers import the second at their first use, and
pyarrow the third where there is one, a second of work for every rank."""


def must_launch(job: Job) -> bool:
    """Whether the job wants several processes and none were started yet."""
    return "RANK" not in os.environ and (rank_count(job) > 1 or job.launch.nodes > 1)


def rank_count(job: Job) -> int:
    """Processes on this machine: as many as `launch.ranks`, or one for each GPU."""
    return job.launch.ranks or len(job.launch.devices) or max(1, torch.cuda.device_count())


def launch(job: Job, progress: Progress) -> Report:
    """Train in `launch.ranks` processes; the report of rank 0. `progress` hears what rank 0 logs.

    Raises:
        NymphError: A rank failed more often than `launch.restarts` and cannot be left out; names it and its error.
        KeyboardInterrupt, SystemExit: After SIGINT or SIGTERM, once a checkpoint is on disk.
    """
    _start_server()
    places = list(range(rank_count(job)))
    with _followed(job, progress), _own_signals(job):
        while True:
            pieces = noted(job)
            try:
                results = elastic_launch(_config(job, len(places)), _rank)(job.to_dict(), places)
                return Report.from_dict(results[min(results)])
            except ChildFailedError as error:
                job = _after(_lost(error), job, places, pieces, progress)
            except SignalException as error:
                if error.sigval.name == "SIGINT":
                    raise KeyboardInterrupt from None
                raise SystemExit(128 + error.sigval) from None


def _after(lost: "_Lost", job: Job, places: list[int], pieces: int, progress: Progress) -> Job:
    """What to go on with once the launcher has given up; a rank that is gone for good is taken from `places`.

    Args:
        pieces: The micro-batches a step that the group began with.
    """
    options, failed = job.launch, f"rank {lost.rank} failed: {lost.message}"
    if options.nodes == 1 and noted(job) > pieces:  # for want of memory: the rank itself is well
        progress.message(failed)
        return _continued(job)
    if options.nodes > 1 or options.stages or len(places) <= options.fewest_ranks or lost.refused:
        raise NymphError(failed) from None
    progress.message(f"{failed}; going on without it")
    del places[lost.rank]
    return without_rank(_continued(job), lost.rank)


def _continued(job: Job) -> Job:
    """The same run from what it has saved, whatever `job.resume` says; from there where it has saved nothing yet."""
    return replace(job, resume="latest") if list_checkpoints(Path(job.checkpoint_directory)) else job


def without_rank(job: Job, rank: int) -> Job:
    """The same run on one rank less: the others share its rows."""
    shares = job.launch.shares
    return replace(job, launch=replace(job.launch, shares=shares[:rank] + shares[rank + 1 :]))


class _Lost(NamedTuple):
    """The rank that brought the others down."""

    rank: int
    message: str
    refused: bool
    """It said itself that this job cannot run."""


def _lost(error: ChildFailedError) -> _Lost:
    """The launcher reports one rank, the first it saw dead: that is the cause, for those left alone wait to be ended
    (`nymph.training.loop`)."""
    rank, failure = error.get_first_failure()
    text = _message(failure.message)
    if other := _OTHER.match(text):
        rank, text = int(other[1]), text[other.end() :]
    return _Lost(rank, text.removeprefix(_REFUSED), text.startswith(_REFUSED))


def _start_server() -> None:
    """The process that ranks are forked from. A SIGTERM for all processes must not end it: it tells how ranks end."""
    multiprocessing.set_forkserver_preload(PRELOADED)
    if threading.current_thread() is not threading.main_thread():
        return
    mine = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # inherited
    forkserver.ensure_running()
    signal.signal(signal.SIGTERM, mine)


@contextmanager
def _own_signals(job: Job) -> Iterator[None]:
    """SIGUSR1 asks the ranks for a checkpoint. Torch's launcher leaves its handlers of the other signals behind;
    afterwards Ctrl-C is this process's own again."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    mine = {number: signal.getsignal(number) for number in _SIGNALS}
    signal.signal(signal.SIGUSR1, lambda number, frame: ask(job.run_directory, "checkpoint"))
    try:
        yield
    finally:
        for number, handler in mine.items():
            signal.signal(number, handler)


def _rank(values: dict[str, Any], places: list[int]) -> dict[str, Any]:
    """What each process runs. `places` are the local ranks, and so the GPUs, that are left of those it began with."""
    from nymph.training.loop import train

    job = Job.from_dict(values)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the server it is forked from ignores it
    os.environ["LOCAL_RANK"] = str(places[int(os.environ["LOCAL_RANK"])])
    if job.launch.nodes == 1:  # here, for a rank has the environment that the server it is forked from began with
        for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            os.environ.setdefault(name, "lo")
    torch.set_num_threads(_threads_per_rank())
    return train(job, Silence()).to_dict()


def _threads_per_rank() -> int:
    return max(1, len(os.sched_getaffinity(0)) // int(os.environ["LOCAL_WORLD_SIZE"]))


def _config(job: Job, ranks: int) -> LaunchConfig:
    options = job.launch
    alone = options.nodes == 1
    return LaunchConfig(
        min_nodes=options.fewest_nodes or options.nodes,
        max_nodes=options.nodes,
        nproc_per_node=ranks,
        run_id=f"nymph-{job.run}",
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0" if alone else options.rendezvous,
        local_addr="127.0.0.1" if alone else None,
        max_restarts=options.restarts,
        monitor_interval=0.2,
        start_method="forkserver",
    )


@contextmanager
def _followed(job: Job, progress: Progress) -> Iterator[None]:
    """Pass on to `progress` what rank 0 writes into the event log meanwhile."""
    reader, done = EventReader(Path(job.run_directory) / EVENTS), threading.Event()
    reader.poll()

    def follow() -> None:
        while not done.wait(0.25):
            _pass_on(reader, progress)

    thread = threading.Thread(target=follow, name="nymph-follow", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        _pass_on(reader, progress)


def _pass_on(reader: EventReader, progress: Progress) -> None:
    for event in reader.poll():
        if event["kind"] == "start":
            text = f"{event['parameters']:,} parameters on {event['world']} x {event['device']}"
            progress.start(event["step"], event["total_steps"], f"{event['run']}: {text}")
        elif event["kind"] == "step":
            progress.step(event)
        elif event["kind"] == "alert":
            progress.message(f"alert: {event['rule']}: {event['message']}")
        elif event["kind"] == "end":
            progress.end(f"{event['status']} at step {event['step']}: {event['reason']}")


def _message(text: Any) -> str:
    """The error itself from what the launcher recorded: a text, or a dict with message and traceback."""
    message = text.get("message", text) if isinstance(text, dict) else text
    return str(message).splitlines()[0]
