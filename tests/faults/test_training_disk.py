"""R7, R9: a disk that is full, or may only be read: a real one, of some megabytes."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nymph.errors import NymphError
from nymph.training import checkpoint
from nymph.training.events import EVENTS, read_events
from nymph.training.loop import train

from ..training.conftest import JobMaker, make_job  # noqa: F401, TID252
from .small_disk import small_disk

pytestmark = pytest.mark.faults


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 3) as place:
        yield place


def test_a_disk_that_may_only_be_read_is_one_clear_line(make_job: JobMaker, disk: Path) -> None:  # noqa: F811
    subprocess.run(["mount", "-o", "remount,ro", os.fspath(disk)], check=True)
    job = make_job(checkpoint_directory=os.fspath(disk / "checkpoints"))
    with pytest.raises(NymphError, match=r"cannot write to .*checkpoints: Read-only file system; make it writable"):
        train(job)
    assert not (Path(job.run_directory) / EVENTS).exists()


def test_training_says_so_keeps_what_it_has_and_can_go_on(make_job: JobMaker, disk: Path) -> None:  # noqa: F811
    job = make_job(checkpoint_directory=os.fspath(disk / "checkpoints"), evaluation_every=0, checkpoint_every=2)
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(2_900_000))
    with pytest.raises(NymphError, match=r"the last checkpoint is missing: .* needs [\d,]+ bytes, [\d,]+ are free"):
        train(job)
    alerts = [event for event in read_events(Path(job.run_directory) / EVENTS) if event["kind"] == "alert"]
    assert "checkpoint" in {alert["rule"] for alert in alerts}
    saved, reasons = checkpoint.newest_good(Path(job.checkpoint_directory))
    assert not reasons
    assert not list(Path(job.checkpoint_directory).glob(".part-*"))
    ballast.unlink()
    report = train(job)
    assert (report.status, report.steps) == ("finished", 6)
    assert report.resumed_from == (str(saved) if saved else None)
