"""kill -9 a trainer at random moments, again and again: it must end where an undisturbed one ends."""

import multiprocessing
import os
import random
import signal
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nymph.files import sha256_file
from nymph.training import checkpoint
from nymph.training.__main__ import main
from nymph.training.events import EVENTS, EventReader, read_events
from nymph.training.job import Job
from nymph.training.launch import PRELOADED
from nymph.training.loop import train

from ..training.conftest import JobMaker, make_job  # noqa: F401, TID252

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(1800)]
STEPS, EVERY, KILLS = 90, 3, 20


@pytest.fixture(scope="module")
def processes() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def start(processes: Any, job: Job) -> Any:
    """A process of its own that trains `job`, forked from one that has imported everything."""
    path = Path(job.run_directory).with_suffix(".json")
    job.write(path)
    process = processes.Process(target=main, args=([str(path)],))
    process.start()
    return process


def logged(job: Job) -> list[dict[str, Any]]:
    return list(read_events(Path(job.run_directory) / EVENTS))


def losses(job: Job) -> dict[int, set[float]]:
    found: dict[int, set[float]] = defaultdict(set)
    for event in logged(job):
        if event["kind"] == "step":
            found[event["step"]].add(event["loss"])
    return found


def kill_when(process: Any, moment: Callable[[], bool]) -> bool:
    """SIGKILL as soon as `moment` has come; whether it came before the process ended."""
    while process.is_alive() and not moment():
        time.sleep(0.002)
    alive = bool(process.is_alive())
    if alive:
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return alive


def after_steps(job: Job, count: int) -> Callable[[], bool]:
    """True once `count` more steps are in the log."""
    reader, seen = EventReader(Path(job.run_directory) / EVENTS), [0]
    reader.poll()

    def moment() -> bool:
        seen[0] += sum(event["kind"] == "step" for event in reader.poll())
        return seen[0] >= count

    return moment


def inside_a_write(job: Job) -> Callable[[], bool]:
    """True while the second checkpoint from now on is being written; the first lets the run get ahead."""
    directory = Path(job.checkpoint_directory)
    seen = {path.name for path in directory.glob(".part-*")}
    fresh: set[str] = set()

    def moment() -> bool:
        fresh.update(path.name for path in directory.glob(".part-step-*") if path.name not in seen)
        return len(fresh) >= 2

    return moment


@pytest.mark.idle
def test_twenty_kills_change_nothing(make_job: JobMaker, processes: Any) -> None:  # noqa: F811
    options = {"steps": STEPS, "checkpoint_every": EVERY, "evaluation_every": 30, "keep_last": 2}
    whole, broken = make_job("whole", **options), make_job("broken", **options)
    undisturbed = train(whole)
    chance, kills, unfinished = random.Random(5), 0, 0
    while kills < KILLS:
        moment = inside_a_write(broken) if kills % 2 else after_steps(broken, chance.randint(1, 6))
        assert kill_when(start(processes, broken), moment), "the run ended before its kills; make it longer"
        kills += 1
        unfinished += bool(list(Path(broken.checkpoint_directory).glob(".part-*")))
        for path in checkpoint.list_checkpoints(Path(broken.checkpoint_directory)):
            checkpoint.verify_checkpoint(path)
    assert unfinished >= KILLS // 4
    start(processes, broken).join()
    report = train(broken)
    assert report.status == "already_finished"
    assert report.checkpoint is not None
    assert undisturbed.checkpoint is not None
    assert {step: {loss} for step, loss in _curve(whole).items()} == losses(broken)
    for name in ("model.safetensors", "optimizer.safetensors"):
        assert sha256_file(Path(report.checkpoint) / name) == sha256_file(Path(undisturbed.checkpoint) / name)
    assert [event["seq"] for event in logged(broken)] == list(range(len(logged(broken))))


def test_no_kill_costs_more_steps_than_a_checkpoint_interval(make_job: JobMaker, processes: Any) -> None:  # noqa: F811
    job = make_job(steps=STEPS, checkpoint_every=EVERY, evaluation_every=0)
    for count in (5, 8):
        assert kill_when(start(processes, job), after_steps(job, count))
    train(job)
    reached, lost = 0, []
    for event in logged(job):
        if event["kind"] == "start":
            lost.append(reached - event["step"])
        elif event["kind"] == "step":
            reached = event["step"]
    assert max(lost) <= 2 * EVERY  # the interval, and the one whose asynchronous write was cut off


def _curve(job: Job) -> dict[int, float]:
    return {step: next(iter(values)) for step, values in losses(job).items()}
