from dataclasses import replace
from pathlib import Path

import pytest

from nymph.errors import NymphError
from nymph.pipelines.training.predictions import read_plan, with_predictions, write_estimate, write_plan
from nymph.training.estimate import RunEstimate
from nymph.training.job import Job, Launch
from nymph.training.plan import Plan, PlannedRank

RANKS = (PlannedRank("cuda:0", 6, 30.0, 24 << 30, 9 << 30), PlannedRank("cuda:1", 2, 10.0, 8 << 30, 4 << 30))
PLAN = Plan(RANKS, gradient_accumulation=2, precision="fp32", step_seconds=0.2, efficiency=1.0)
ESTIMATE = RunEstimate(
    seconds=100.0, step_seconds=0.5, evaluation_seconds=2.0, steps=100, tokens=1, tokens_per_second=1.0, epochs=1.0,
    ranks=1, device="cpu", precision="fp32", parameters=1, memory_bytes=7, checkpoint_bytes=1, disk_free_bytes=1,
    joules=None, probed_steps=3,
)  # fmt: skip


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(train_rows="", run_directory=str(tmp_path / "run"), checkpoint_directory="", batch_rows=8)


def test_a_plan_file_is_what_the_run_does(job: Job, tmp_path: Path) -> None:
    write_plan(tmp_path / "plan.yml", PLAN)
    planned = with_predictions(job, str(tmp_path / "plan.yml"))
    assert (planned.launch.ranks, planned.launch.shares) == (2, (3, 1))
    assert (planned.gradient_accumulation, planned.precision) == (2, "fp32")
    assert planned.prediction is not None
    assert (planned.prediction.step_seconds, planned.prediction.memory_bytes) == (0.2, 9 << 30)


def test_an_edited_plan_counts_and_a_wrong_edit_is_named(tmp_path: Path) -> None:
    path = tmp_path / "plan.yml"
    write_plan(path, PLAN)
    path.write_text(path.read_text().replace("rows: 6", "rows: 5").replace("rows: 2", "rows: 3"))
    assert [rank.rows for rank in read_plan(path).ranks] == [5, 3]
    path.write_text(path.read_text().replace("precision: fp32", "precision: fp8"))
    with pytest.raises(NymphError, match=r"plan\.precision must be one of .* got 'fp8'"):
        read_plan(path)


def test_a_missing_plan_says_how_to_make_one(job: Job) -> None:
    with pytest.raises(NymphError, match="make one with `kedro plan`"):
        with_predictions(job, "nowhere.yml")


def test_an_estimate_is_found_by_the_run_it_is_of(job: Job) -> None:
    assert with_predictions(job, None) == job
    write_estimate(job, ESTIMATE)
    assert with_predictions(job, None).prediction == ESTIMATE.prediction
    other = replace(job, launch=Launch(ranks=2))
    assert with_predictions(other, None).prediction is None


def test_an_estimate_counts_where_ranks_are_as_many_as_gpus(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    every = replace(job, launch=Launch(ranks=0))
    write_estimate(every, replace(ESTIMATE, ranks=8))
    assert with_predictions(every, None).prediction == ESTIMATE.prediction
