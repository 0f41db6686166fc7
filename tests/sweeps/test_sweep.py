from pathlib import Path
from typing import Any

import pytest

from nymph.errors import NymphError
from nymph.sweeps import sweep as module
from nymph.sweeps.ledger import Ledger, Trial
from nymph.sweeps.options import SweepOptions
from nymph.sweeps.slots import Attempt, Slot, find_slots
from nymph.sweeps.sweep import Sweep
from nymph.training.events import EVENTS, read_events
from nymph.training.job import Job

OPTIONS = SweepOptions.model_validate({"name": "test", "space": {"training.clip": [1.0, 2.0, 3.0]}})


class FakeAttempt:
    """Ends at once; its loss is its clip. `cut` interrupts the sweep at that clip, `broken` fails there."""

    cut: float | None = None
    broken: float | None = None
    begun: list[float]

    def __init__(self, job: Job, slot: Slot) -> None:
        self.slot, self._clip, self.ended = slot, job.clip, True
        FakeAttempt.begun.append(job.clip)
        if job.clip == FakeAttempt.cut:
            raise KeyboardInterrupt

    def result(self) -> tuple[dict[str, Any], str]:
        failed = self._clip == FakeAttempt.broken
        return ({}, "exit status 1: out of luck") if failed else ({"best_validation_loss": self._clip}, "")


class Silent:
    def began(self, trial: Trial, job: Job) -> None: ...

    def ended(self, trial: Trial) -> None: ...


@pytest.fixture(autouse=True)
def _attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeAttempt.cut = FakeAttempt.broken = None
    FakeAttempt.begun = []
    monkeypatch.setattr(module, "Attempt", FakeAttempt)


def run(folder: Path, steps: int = 5, slots: int = 1) -> Ledger:
    def make_job(params: dict[str, Any]) -> Job:
        clip = params["training.clip"]
        return Job(train_rows="", run_directory=f"run-{clip}", checkpoint_directory="", clip=clip, steps=steps)

    return Sweep(OPTIONS, make_job, folder, [Slot({})] * slots, Silent()).to_the_end(poll_seconds=0)


@pytest.mark.parametrize("slots", [1, 2])
def test_every_trial_is_made_and_the_best_is_known(tmp_path: Path, slots: int) -> None:
    ledger = run(tmp_path, slots=slots)
    assert [(trial.status, trial.value) for trial in ledger.trials] == [("done", 1.0), ("done", 2.0), ("done", 3.0)]
    assert ledger.best is not None
    assert ledger.best.run == "run-1.0"
    events = list(read_events(tmp_path / EVENTS))
    assert [event["value"] for event in events if event["kind"] == "trial"] == [1.0, 2.0, 3.0]


def test_an_interrupted_sweep_takes_up_the_trial_it_was_at(tmp_path: Path) -> None:
    FakeAttempt.cut = 2.0
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    FakeAttempt.cut, FakeAttempt.begun = None, []
    assert len(run(tmp_path).trials) == 3
    assert FakeAttempt.begun == [2.0, 3.0]


def test_a_finished_sweep_has_nothing_left_to_do(tmp_path: Path) -> None:
    run(tmp_path)
    FakeAttempt.begun = []
    run(tmp_path)
    assert FakeAttempt.begun == []
    run(tmp_path, steps=9)
    assert FakeAttempt.begun == [1.0, 2.0, 3.0]  # more steps: every run goes on


def test_a_failed_trial_is_told_apart_and_tried_again_next_time(tmp_path: Path) -> None:
    FakeAttempt.broken = 2.0
    failed = run(tmp_path).trials[1]
    assert (failed.status, failed.reason) == ("failed", "exit status 1: out of luck")
    FakeAttempt.broken, FakeAttempt.begun = None, []
    assert run(tmp_path).trials[1].status == "done"
    assert FakeAttempt.begun == [2.0]


def test_an_empty_space_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(NymphError, match=r"sweep\.space is empty"):
        Sweep(
            SweepOptions(),
            lambda params: Job(train_rows="", run_directory="", checkpoint_directory=""),
            tmp_path,
            [],
            Silent(),
        )


def test_each_gpu_is_a_slot_and_cores_are_shared() -> None:
    assert [slot.environment for slot in find_slots(0, gpus=2)] == [
        {"CUDA_VISIBLE_DEVICES": "0"},
        {"CUDA_VISIBLE_DEVICES": "1"},
    ]
    assert len(find_slots(0, gpus=0)) == 1
    assert all(int(slot.environment["OMP_NUM_THREADS"]) >= 1 for slot in find_slots(3, gpus=0))


def test_a_trial_is_a_process_whose_last_words_are_kept(tmp_path: Path) -> None:
    job = Job(
        train_rows=str(tmp_path / "nowhere"), run_directory=str(tmp_path / "run"), checkpoint_directory=str(tmp_path)
    )
    attempt = Attempt(job, Slot({"OMP_NUM_THREADS": "1"}))
    attempt.process.wait(280)
    report, reason = attempt.result()
    assert report == {}
    assert "exit status 1: error: no table at" in reason
