"""kill -9 a trainer at random moments, again and again: it must end where an undisturbed one ends."""

import multiprocessing
import os
import random
import signal
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from nymph.files import sha256_file
from nymph.training import checkpoint
from nymph.training.__main__ import main
from nymph.training.events import EVENTS, read_events
from nymph.training.job import Job
from nymph.training.launch import PRELOADED
from nymph.training.loop import train

from ..training.conftest import JobMaker, make_job  # noqa: F401, TID252

pytestmark = [pytest.mark.faults, pytest.mark.slow]
STEPS, EVERY, KILLS = 60, 3, 20


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


def kill_after_progress(process: Any, job: Job, delay: float) -> bool:
    """SIGKILL `delay` seconds after the first new event; whether it was still alive then."""
    before = len(logged(job))
    while process.is_alive() and len(logged(job)) == before:
        time.sleep(0.01)
    time.sleep(delay)
    alive = process.is_alive()
    if alive:
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return alive


def test_twenty_kills_change_nothing(make_job: JobMaker, processes: Any) -> None:  # noqa: F811
    options = {"steps": STEPS, "checkpoint_every": EVERY, "evaluation_every": 30, "keep_last": 2}
    whole, broken = make_job("whole", **options), make_job("broken", **options)
    undisturbed = train(whole)
    chance, kills, in_a_write = random.Random(5), 0, 0
    while True:
        process = start(processes, broken)
        if kills == KILLS:
            process.join()
            break
        kills += kill_after_progress(process, broken, chance.uniform(0.0, 0.3))
        assert process.exitcode in (0, -signal.SIGKILL)
        in_a_write += bool(list(Path(broken.checkpoint_directory).glob(".part-*")))
        newest = checkpoint.list_checkpoints(Path(broken.checkpoint_directory))[-1:]
        assert all(checkpoint.verify_checkpoint(path) is None for path in newest)
    report = train(broken)
    assert report.status == "already_finished"
    assert report.checkpoint is not None
    assert undisturbed.checkpoint is not None
    assert {step: {loss} for step, loss in _curve(whole).items()} == losses(broken)
    for name in ("model.safetensors", "optimizer.safetensors"):
        assert sha256_file(Path(report.checkpoint) / name) == sha256_file(Path(undisturbed.checkpoint) / name)
    assert [event["seq"] for event in logged(broken)] == list(range(len(logged(broken))))
    print(f"{kills} kills, {in_a_write} of them inside a checkpoint write")


def test_no_kill_costs_more_steps_than_a_checkpoint_interval(make_job: JobMaker, processes: Any) -> None:  # noqa: F811
    job = make_job(steps=STEPS, checkpoint_every=EVERY, evaluation_every=0)
    for delay in (0.1, 0.25):
        assert kill_after_progress(start(processes, job), job, delay)
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
