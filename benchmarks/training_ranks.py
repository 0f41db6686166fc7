"""What several ranks reach on the cores of one machine, and what those cores could do if the ranks never talked."""

import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from training_parts import MODEL, WARM, data_wait, make_job, step_events

from nymph.training import launch as launching
from nymph.training.console import Silence
from nymph.training.job import Job, Launch
from nymph.training.launch import _rank as launch_rank
from nymph.training.loop import train
from nymph.training.plan import plan_step
from nymph.training.probe import RankSpeed
from nymph.training.step import Stepper

HANDICAPS = (0.05, 0.15)
"""Seconds more a row that each of two unequal ranks takes."""
ROWS = 16
"""Of a step for each of them: so many that whole rows can be dealt in proportion to speed."""


def ranks(folder: Path, rows: str, rounds: int, steps: int) -> dict[str, float]:
    """Two ranks against one, each on one thread, and against two processes that share nothing but the machine."""
    rates: dict[str, list[float]] = {"one": [], "apart": [], "two": []}
    for number in range(rounds):
        one, apart, two = (
            make_job(folder, rows, f"one-{number}", steps),
            [make_job(folder, rows, f"apart-{number}-{place}", steps) for place in range(2)],
            make_job(folder, rows, f"two-{number}", steps, batch_rows=16, launch=Launch(ranks=2)),
        )
        rates["one"].append(_rates([one]))
        rates["apart"].append(_rates(apart))
        rates["two"].append(_rates([two]))
    four = make_job(folder, rows, "four", steps, batch_rows=32, launch=Launch(ranks=4))
    _rates([four])

    def ratio(name: str, base: str) -> float:
        return statistics.median(a / b for a, b in zip(rates[name], rates[base], strict=True))

    return {
        "two_rank_scaling": ratio("two", "one"),
        "two_rank_limit": ratio("apart", "one"),
        "two_rank_of_limit": ratio("two", "apart"),
        "data_wait": data_wait(four),
    }


def _rates(jobs: list[Job]) -> float:
    """Rows a second of jobs that run at the same time, each in a process of its own, while all of them train."""
    for job in jobs:
        job.write(_job_file(job))
    commands = [[sys.executable, "-m", "nymph.training", _job_file(job)] for job in jobs]
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for command in commands]
    for process in processes:
        _, said = process.communicate()
        assert process.returncode == 0, said.decode()
    times = [[event["time"] for event in step_events(job)] for job in jobs]
    begin, end = max(mine[0] for mine in times), min(mine[-1] for mine in times)
    return sum(_rate(job, mine, begin, end) for job, mine in zip(jobs, times, strict=True))


def _rate(job: Job, times: list[float], begin: float, end: float) -> float:
    """By the median step between `begin` and `end`: what else the machine does in between moves the mean."""
    within = [time for time in times if begin <= time <= end]
    assert len(within) > WARM, "processes that were to train at the same time did not; give more --steps"
    return job.batch_rows / statistics.median(b - a for a, b in pairwise(within))


def _job_file(job: Job) -> str:
    return job.run_directory + ".json"


def slow_rank(values: dict[str, Any], places: list[int]) -> dict[str, Any]:
    """A rank of the launcher on a device that needs `HANDICAPS` seconds longer for each row."""
    alone = len(places) == 1
    seconds = HANDICAPS[int(values["run_directory"][-1]) if alone else int(os.environ["RANK"])]
    losses = Stepper._losses

    def slower(self: Stepper, batch: Any, seed: int) -> Any:
        torch.set_num_threads(1)  # alone it would get all cores, of which it has one when the other rank is there
        time.sleep(seconds * len(batch["tokens"]))
        return losses(self, batch, seed)

    Stepper._losses = slower  # type: ignore[method-assign]
    return launch_rank(values, places)


def uneven(folder: Path, rows: str, steps: int) -> dict[str, float]:
    """Two unequal ranks that share rows as a plan says, against the sum of what each does alone."""
    alone = []
    with patch.object(launching, "_rank", slow_rank):
        for rank in range(len(HANDICAPS)):
            job = make_job(folder, rows, f"alone-{rank}", steps, batch_rows=ROWS)
            launching.launch(job, Silence())
            alone.append(_tokens_per_second(job))
    speeds = [RankSpeed("cpu", speed / MODEL.context_length, 0, 0, 1, 1 << 30, {"fp32": 1.0}, 1.0) for speed in alone]
    shared = len(HANDICAPS) * ROWS
    job = plan_step(speeds, shared, MODEL).apply(make_job(folder, rows, "together", steps, batch_rows=shared))
    with patch.object(launching, "_rank", slow_rank):
        train(replace(job, prediction=None), Silence())
    return {"uneven_efficiency": _tokens_per_second(job) / sum(alone)}


def _tokens_per_second(job: Job) -> float:
    """Of all ranks, over the steps that count."""
    events = step_events(job)
    return float((events[-1]["tokens"] - events[0]["tokens"]) / (events[-1]["time"] - events[0]["time"]))
