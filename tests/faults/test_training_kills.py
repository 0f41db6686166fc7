"""kill -9 a trainer at random moments, again and again: it must end where an undisturbed one ends."""

import multiprocessing
import random
import signal
from collections import defaultdict
from collections.abc import Callable
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
from .doomed_trainer import after_steps, inside_a_write

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(1800)]
STEPS, EVERY, KILLS = 90, 3, 20


@pytest.fixture(scope="module")
def processes() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def train_in(processes: Any, job: Job, end: Callable[..., Any] = main, *count: int) -> int:
    """Train in a process of its own, forked from one that has imported everything; its exit code."""
    path = Path(job.run_directory).with_suffix(".json")
    job.write(path)
    arguments = (str(path), *count) if count else ([str(path)],)
    process = processes.Process(target=end, args=arguments)
    process.start()
    process.join()
    return int(process.exitcode)


def logged(job: Job) -> list[dict[str, Any]]:
    return list(read_events(Path(job.run_directory) / EVENTS))


def losses(job: Job) -> dict[int, set[float]]:
    found: dict[int, set[float]] = defaultdict(set)
    for event in logged(job):
        if event["kind"] == "step":
            found[event["step"]].add(event["loss"])
    return found


@pytest.mark.idle
def test_twenty_kills_change_nothing(make_job: JobMaker, processes: Any) -> None:  # noqa: F811
    options = {"steps": STEPS, "checkpoint_every": EVERY, "evaluation_every": 30, "keep_last": 2}
    whole, broken = make_job("whole", **options), make_job("broken", **options)
    undisturbed = train(whole)
    chance, kills, unfinished = random.Random(5), 0, 0
    while kills < KILLS:
        killer, count = (inside_a_write, chance.randint(1, 40)) if kills % 2 else (after_steps, chance.randint(1, 6))
        assert train_in(processes, broken, killer, count) == -signal.SIGKILL, "the run ended before its kills"
        kills += 1
        unfinished += bool(list(Path(broken.checkpoint_directory).glob(".part-*")))
        for path in checkpoint.list_checkpoints(Path(broken.checkpoint_directory)):
            checkpoint.verify_checkpoint(path)
    assert unfinished >= KILLS // 4
    assert train_in(processes, broken) == 0
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
        assert train_in(processes, job, after_steps, count) == -signal.SIGKILL
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
