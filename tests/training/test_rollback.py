"""Going back to a checkpoint past bad rows: T1 and T3 with `health.rollbacks`."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from nymph.errors import NymphError
from nymph.training import objectives
from nymph.training.checkpoint import list_checkpoints, read_state
from nymph.training.console import Silence
from nymph.training.events import EVENTS, read_events
from nymph.training.job import HealthRules, Job
from nymph.training.loop import train

from .conftest import JobMaker


def poison(monkeypatch: pytest.MonkeyPatch, calls: range, factor: float) -> None:
    """Multiply the losses of some calls."""
    compute, count = objectives.compute, [0]

    def poisoned(*arguments: Any) -> Any:
        count[0] += torch.is_grad_enabled()  # evaluations are left alone
        losses = compute(*arguments)
        if count[0] not in calls or not torch.is_grad_enabled():
            return losses
        return {name: (loss * factor, targets) for name, (loss, targets) in losses.items()}

    monkeypatch.setattr(objectives, "compute", poisoned)


def events(job: Job, kind: str) -> list[dict[str, Any]]:
    return [event for event in read_events(Path(job.run_directory) / EVENTS) if event["kind"] == kind]


class CutAfterRollback(Silence):
    """Raises at step 5, the second time."""

    def __init__(self) -> None:
        self.seen = 0

    def step(self, event: Any) -> None:
        self.seen += event["step"] == 5
        if self.seen == 2:
            raise ValueError("cut")


def rolling(make_job: JobMaker, name: str = "run", **options: Any) -> Job:
    values = {"steps": 10, "checkpoint_every": 2, "evaluation_every": 0, "keep_last": 9}
    rules = HealthRules(skips_in_a_row=3, rollbacks=1)
    return make_job(name, **{**values, "health": rules, **options})


def test_a_run_goes_back_and_leaves_the_bad_rows_out(make_job: JobMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    job = rolling(make_job)
    poison(monkeypatch, range(6, 9), math.nan)  # steps 6 to 8, after the checkpoint of step 4
    report = train(job)
    assert (report.status, report.steps, report.skipped) == ("finished", 10, 3)
    (alert,) = [event for event in events(job, "alert") if event["rule"] == "rollback"]
    assert alert["step"] == 4
    assert "rows 12 to 23 are left out" in alert["message"]
    state = read_state(list_checkpoints(Path(job.checkpoint_directory))[-1])
    assert (state["cursor"], state["rollbacks"]) == (14 * 3, 1)


def test_what_follows_a_rollback_is_kept_over_a_restart(make_job: JobMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, cut = rolling(make_job, "whole"), rolling(make_job, "cut")
    with monkeypatch.context() as patch:
        poison(patch, range(6, 9), math.nan)
        train(whole)
    with monkeypatch.context() as patch:
        poison(patch, range(6, 9), math.nan)
        with pytest.raises(ValueError, match="cut"):
            train(cut, CutAfterRollback())
    train(cut)
    losses = [[event["loss"] for event in events(job, "step")][-6:] for job in (whole, cut)]
    assert losses[0] == losses[1]


def test_no_more_rollbacks_than_allowed(make_job: JobMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, range(6, 99), math.nan)
    with pytest.raises(NymphError, match="3 steps in a row had to be skipped"):
        train(rolling(make_job))


def test_a_lasting_spike_is_left_behind(make_job: JobMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    job = rolling(make_job, steps=60, checkpoint_every=30)
    poison(monkeypatch, range(41, 51), 1e3)
    assert train(job).status == "finished"
    (alert,) = [event for event in events(job, "alert") if event["rule"] == "rollback"]
    assert "a loss spike has lasted for 10 steps: back to step 30" in alert["message"]
