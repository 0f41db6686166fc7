"""Starting the ranks of a job on this machine, with restarts, through torch's own elastic launcher.

Ranks are forked from a server that has imported everything once and touched no GPU, so a restart takes a second.
On one machine they talk over the loopback interface only. A rank that dies takes the group down; the group starts
again from the last checkpoint, `launch.restarts` times.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from nymph.errors import NymphError
from nymph.training.console import Progress, Silence
from nymph.training.events import EVENTS, EventReader
from nymph.training.job import Job
from nymph.training.report import Report

PRELOADED = ["nymph.training.__main__", "torch._dynamo"]
"""Modules imported once for all ranks and restarts; torch's optimizers import the second at their first use."""


def must_launch(job: Job) -> bool:
    """Whether the job wants several processes and none were started yet."""
    return "RANK" not in os.environ and (rank_count(job) > 1 or job.launch.nodes > 1)


def rank_count(job: Job) -> int:
    """Processes on this machine: as many as `launch.ranks`, or one for each GPU."""
    return job.launch.ranks or max(1, torch.cuda.device_count())


def launch(job: Job, progress: Progress) -> Report:
    """Train in `launch.ranks` processes; the report of rank 0. `progress` hears what rank 0 logs.

    Raises:
        NymphError: A rank failed more often than `launch.restarts`; names the rank and its error.
        KeyboardInterrupt, SystemExit: After SIGINT or SIGTERM, once a checkpoint is on disk.
    """
    multiprocessing.set_forkserver_preload(PRELOADED)
    with _environment(job), _followed(job, progress), _own_signals():
        try:
            results = elastic_launch(_config(job), _rank)(job.to_dict())
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            raise NymphError(f"rank {rank} failed: {_message(failure.message)}") from None
        except SignalException as error:
            if error.sigval.name == "SIGINT":
                raise KeyboardInterrupt from None
            raise SystemExit(128 + error.sigval) from None
    return Report.from_dict(results[min(results)])


@contextmanager
def _own_signals() -> Iterator[None]:
    """Torch's launcher leaves its signal handlers behind; afterwards Ctrl-C is this process's own again."""
    mine = {
        number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    }
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in mine.items():
                signal.signal(number, handler)


def _rank(values: dict[str, Any]) -> dict[str, Any]:
    """What each process runs."""
    from nymph.training.loop import train

    torch.set_num_threads(_threads_per_rank())
    return train(Job.from_dict(values), Silence()).to_dict()


def _threads_per_rank() -> int:
    return max(1, len(os.sched_getaffinity(0)) // int(os.environ["LOCAL_WORLD_SIZE"]))


def _config(job: Job) -> LaunchConfig:
    options = job.launch
    alone = options.nodes == 1
    return LaunchConfig(
        min_nodes=options.nodes,
        max_nodes=options.nodes,
        nproc_per_node=rank_count(job),
        run_id=f"nymph-{job.run}",
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0" if alone else options.rendezvous,
        local_addr="127.0.0.1" if alone else None,
        max_restarts=options.restarts,
        monitor_interval=0.2,
        start_method="forkserver",
    )


@contextmanager
def _environment(job: Job) -> Iterator[None]:
    """Keep the ranks of one machine on its loopback interface."""
    wanted = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"} if job.launch.nodes == 1 else {}
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


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
    return str(message).splitlines()[0].removeprefix("NymphError: ")
