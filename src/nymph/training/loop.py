"""The training loop: rows in, updates, events, evaluations and checkpoints out, from any beginning to any end.

`train` is the one way to train: in a test, from a job file, under torchrun, from a Kedro node. It holds a lock on the
run and checkpoint directories, and whatever ends it (the last step, a signal, an error) leaves a checkpoint and an
`end` event. State is a pure function of (job, checkpoint), so an interrupted run continues bit for bit on a CPU.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from nymph.errors import NymphError
from nymph.files import remove_leftovers
from nymph.training.console import Lines, Progress, Silence
from nymph.training.events import EVENTS, EventLog
from nymph.training.job import Job
from nymph.training.launch import launch, must_launch
from nymph.training.report import Report, from_state
from nymph.training.reporter import Reporter
from nymph.training.resume import find_beginning
from nymph.training.run import Run
from nymph.training.several import open_rows
from nymph.training.signals import Requests
from nymph.training.state import TrainingState
from nymph.training.world import World, join_world, left_alone

LOCK = "trainer.lock"
ECHO = 10.0
"""Seconds in which a launcher has passed a signal on to its ranks."""
PATIENCE = 30.0
"""Seconds in which the launcher ends a rank that was left alone. It takes whoever dies first for the cause, and leaves
that one out at last: it must first see the rank dead that brought the others down."""


def train(job: Job, progress: Progress | None = None) -> Report:
    """Train `job` to its end, continuing what an earlier call left.

    With `launch.ranks` or `launch.nodes` above 1 it starts the processes itself, unless torchrun has.

    Raises:
        NymphError: The job cannot run, a server went away, or health rules stopped it.
        KeyboardInterrupt, SystemExit: After SIGINT or SIGTERM, once a checkpoint is on disk.
    """
    progress = progress or (Lines(job.console_every) if job.console_every else Silence())
    if must_launch(job):
        return launch(job, progress)
    group = job.launch
    with (
        join_world(job.device, group.timeout_seconds, bool(group.stages), group.devices) as world,
        ExitStack() as stack,
    ):
        if not world.main:
            progress = Silence()
        if world.main:
            for directory in (job.run_directory, job.checkpoint_directory):
                stack.enter_context(locked(Path(directory)))
            remove_leftovers(job.checkpoint_directory)
        requests = stack.enter_context(Requests(ECHO if "TORCHELASTIC_RUN_ID" in os.environ else 0.0))
        try:
            report = _train(job, world, requests, progress)
        except RuntimeError as error:
            if world.size > 1 and left_alone(error):
                requests.wait_for_end(PATIENCE)
            raise
        requests.raise_end()
        return report


def _train(job: Job, world: World, requests: Requests, progress: Progress) -> Report:
    begin = time.perf_counter()
    source = open_rows(job.train_rows, job.train_weights or None, **job.reach)
    checkpoint, state, notes = _beginning(job, world, source.fingerprint)
    for note in notes:
        progress.message(note)
    if complete := _complete(job, state):
        progress.end(f"already finished ({complete}); raise training.steps or set resume=none to train again")
        return from_state("already_finished", state, checkpoint, checkpoint, begin)
    with ExitStack() as stack:
        log = stack.enter_context(EventLog(Path(job.run_directory) / EVENTS)) if world.main else None
        run = stack.enter_context(Run(job, world, source, state, checkpoint, Reporter(log, progress), requests))
        for note in notes:
            run.alert("resume", note)
        status = run.to_the_end()
        return from_state(status, state, run.last_checkpoint, checkpoint, begin, run.outcome)


def _beginning(job: Job, world: World, rows: str) -> tuple[Path | None, TrainingState, list[str]]:
    """Rank 0's decision where to begin, on every rank."""
    plain = None
    if world.main:
        found = find_beginning(job, rows, restarted=world.restarts > 0)
        plain = [os.fspath(found.checkpoint) if found.checkpoint else None, found.state.to_dict(), found.notes]
    path, state, notes = world.share(plain)
    return Path(path) if path else None, TrainingState.from_dict(state), notes


def _complete(job: Job, state: TrainingState) -> str:
    """Why nothing is left to do, or an empty string."""
    if state.step >= job.steps:
        return f"step {state.step} of {job.steps}"
    return state.finished


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a directory against a second trainer; the lock dies with the process, however it dies.

    Raises:
        NymphError: Another trainer holds it, or it cannot be written to.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / LOCK).touch()
    except OSError as error:
        raise NymphError(f"cannot write to {directory}: {error.strerror}; make it writable, or name another") from None
    with open(directory / LOCK, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise NymphError(f"another trainer is at work in {directory}; wait for it, or name another run") from None
        yield
