"""R10: a second copy of each checkpoint, and training from it once the first is gone."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nymph.flight.server import FlightServer
from nymph.training.backup import Backup
from nymph.training.checkpoint import Snapshot, list_checkpoints, verify_checkpoint, write_checkpoint
from nymph.training.console import Silence
from nymph.training.events import EVENTS, read_events
from nymph.training.job import Job
from nymph.training.loop import train

from .conftest import JobMaker


@pytest.fixture
def box(tmp_path: Path) -> Iterator[str]:
    """Address of a server that keeps backups."""
    (tmp_path / "box").mkdir()
    with FlightServer({}, port=0, backups={"box": tmp_path / "box"}) as server:
        yield f"grpc://127.0.0.1:{server.port}/box"


def events(job: Job, kind: str) -> list[dict[str, Any]]:
    return [event for event in read_events(Path(job.run_directory) / EVENTS) if event["kind"] == kind]


class FailAt(Silence):
    def __init__(self, step: int) -> None:
        self.at = step

    def step(self, event: Any) -> None:
        if event["step"] == self.at:
            raise ValueError("disk gone")


def test_training_goes_on_from_the_copy_as_if_nothing_were(make_job: JobMaker, box: str) -> None:
    whole, broken = make_job("whole"), make_job("broken", backup=box)
    train(whole)
    with pytest.raises(ValueError, match="disk gone"):
        train(broken, FailAt(4))
    shutil.rmtree(broken.checkpoint_directory)
    report = train(replace(broken, resume=f"{box}/broken/step-00000004"))
    assert report.status == "finished"
    losses = [[event["loss"] for event in events(job, "step")][-2:] for job in (whole, broken)]
    assert losses[0] == losses[1]


def test_the_last_checkpoint_is_kept_whole(make_job: JobMaker, box: str, tmp_path: Path) -> None:
    train(make_job(backup=box))
    copies = list_checkpoints(tmp_path / "box" / "run")
    assert copies[-1].name == "step-00000006"
    for copy in copies:
        verify_checkpoint(copy)


def test_a_box_that_is_away_costs_an_alert_not_the_run(make_job: JobMaker) -> None:
    job = make_job(backup="grpc://127.0.0.1:1/box", connection={"patience": 0.1}, checkpoint_every=0)
    assert train(job).status == "finished"
    assert "backup" in {event["rule"] for event in events(job, "alert")}


def test_as_many_copies_are_kept_as_checkpoints(box: str, tmp_path: Path) -> None:
    backup = Backup(box, {}, "run", 2, pytest.fail)
    later = write_checkpoint(tmp_path / "given-up", snapshot(9, best=0))
    for path in [later, *(write_checkpoint(tmp_path / "run", snapshot(step, best=1)) for step in range(1, 6))]:
        backup.send(path)
        backup.wait()
    kept = [path.name[-1] for path in list_checkpoints(tmp_path / "box" / "run")]
    assert kept == ["1", "4", "5", "9"]  # the best, the last two, and one of a run that went back


def snapshot(step: int, best: int) -> Snapshot:
    weights = {"weight": torch.full((2,), float(step))}
    return Snapshot(step, weights, weights, {"step": step, "best_step": best}, {})
