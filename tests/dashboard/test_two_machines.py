"""A trainer, its sender and a dashboard in three processes: all of its log arrives, and the page stops it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from nymph.dashboard.options import TOKEN
from nymph.dashboard.receive import RECEIVED
from nymph.training.control import ask
from nymph.training.events import EVENTS, read_events
from nymph.training.job import Job
from nymph.training.loop import train
from nymph.training.report import Report
from tests.training.conftest import JobMaker, make_job  # noqa: F401

from .browser import KEY, Server

pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 120


def wait(ready: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def request(address: str, path: str, body: bytes | None = None) -> str:
    """What the page at `address` answers to who has its key; empty where it knows nothing of it."""
    asking = Request(f"{address}/api/runs/{path}", body, {"authorization": f"Bearer {KEY}"})
    try:
        with urlopen(asking, timeout=PATIENCE_SECONDS) as answer:
            return str(answer.read().decode())
    except HTTPError as error:
        error.close()
        return ""


@contextmanager
def sending(runs: Path, address: str) -> Iterator[None]:
    """`kedro dashboard --send`, without Kedro."""
    command = [sys.executable, "-m", "nymph.dashboard", str(runs), "--send", address]
    process = subprocess.Popen(command, env=os.environ | {TOKEN: KEY})
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def training(job: Job) -> Iterator[Future[Report]]:
    """The run, in a thread; at the latest it ends with the block."""
    with ThreadPoolExecutor(1) as pool:
        try:
            yield pool.submit(train, job)
        finally:
            ask(job.run_directory, "stop")


def test_a_run_is_watched_and_stopped_from_another_machine(
    make_job: JobMaker,  # noqa: F811
    tmp_path: Path,
    project: Path,
) -> None:
    job, there = make_job("far", steps=1_000_000, evaluation_every=0, checkpoint_every=0), tmp_path / "box" / RECEIVED
    with (
        closing(Server(there.parent, project, **{TOKEN: KEY})) as box,
        sending(tmp_path / "runs", box.address),
        training(job) as run,
    ):
        wait(lambda: any(there.glob("far@*")))
        [folder] = there.glob("far@*")
        wait(lambda: "train/loss" in request(box.address, f"{folder.name}/metrics.csv"))
        request(box.address, f"{folder.name}/control", b"stop")
        assert run.result(PATIENCE_SECONDS).status == "stopped"
        written = list(read_events(tmp_path / "runs" / "far" / EVENTS))
        wait(lambda: list(read_events(folder / EVENTS)) == written)
    assert written[-1]["kind"] == "end"
