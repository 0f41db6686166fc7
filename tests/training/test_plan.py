import math
from dataclasses import replace
from itertools import product

import pytest
import torch

from nymph.errors import NymphError
from nymph.model.config import ModelConfig
from nymph.model.multimodal import MultimodalModel
from nymph.training import plan as planning
from nymph.training import probe
from nymph.training.data import Lanes
from nymph.training.division import stages_by_memory
from nymph.training.loop import train
from nymph.training.plan import Plan
from nymph.training.probe import RankSpeed, probe_rank

from .conftest import TINY, JobMaker


def rank(speed: float, memory: int = 1000, fixed: int = 100, row: int = 50, half: float = 1.0) -> RankSpeed:
    """A device of so many bytes; all that is fixed are weights."""
    return RankSpeed("cpu", speed, fixed, fixed, row, memory, {"fp32": 1.0, "fp16": half}, 1e9)


def plan_step(ranks: list[RankSpeed], batch_rows: int, model: ModelConfig = TINY) -> Plan:
    return planning.plan_step(ranks, batch_rows, model)


def rows(plan: Plan) -> list[int]:
    return [rank.rows for rank in plan.ranks]


def test_rows_are_dealt_in_proportion_to_speed() -> None:
    plan = plan_step([rank(30.0), rank(10.0), rank(20.0)], batch_rows=12)
    assert rows(plan) == [6, 2, 4]
    assert plan.step_seconds == pytest.approx(0.2)
    assert plan.efficiency == pytest.approx(1.0)


@pytest.mark.parametrize("batch_rows", [3, 7, 11])
def test_no_other_division_ends_sooner(batch_rows: int) -> None:
    speeds = [7.0, 3.0, 1.5]
    best = min(
        max(rows / speed for rows, speed in zip(division, speeds, strict=True))
        for division in product(range(1, batch_rows + 1), repeat=3)
        if sum(division) == batch_rows
    )
    assert plan_step([rank(speed) for speed in speeds], batch_rows).step_seconds == pytest.approx(best)


def test_the_smallest_card_sets_the_micro_batch_not_the_share() -> None:
    plan = plan_step([rank(20.0, memory=10_000), rank(20.0, memory=300)], batch_rows=12)  # 3 rows fit the second
    assert rows(plan) == [6, 6]
    assert plan.gradient_accumulation == 2
    assert [one.predicted_memory_bytes for one in plan.ranks] == [250, 250]


def test_a_card_that_cannot_hold_one_row_is_named_with_its_size() -> None:
    with pytest.raises(NymphError, match="cannot hold the model and one row"):
        plan_step([rank(1.0), rank(1.0, memory=60)], batch_rows=4)


def test_fewer_rows_than_ranks_is_refused() -> None:
    with pytest.raises(NymphError, match="batch_rows 1 is less than one row for each of 2 ranks"):
        plan_step([rank(1.0), rank(1.0)], batch_rows=1)


def test_the_job_then_deals_the_rows_as_planned(make_job: JobMaker) -> None:
    job = plan_step([rank(30.0), rank(10.0)], batch_rows=8).apply(make_job(batch_rows=8))
    assert job.launch.ranks == 2
    assert [len(Lanes.of(place, 2, job.launch.shares).mine) for place in range(2)] == [3, 1]


def test_a_probe_measures_this_device(make_job: JobMaker) -> None:
    speed = probe_rank(make_job(), "cpu", memory_bytes=1 << 34, probe_seconds=0.2)
    assert speed.rows_per_second > 0
    assert speed.largest_micro_batch >= 1
    assert set(speed.gemm_flops) == {"fp32"}
    assert speed.link_bytes_per_second > 0


def test_precision_is_what_pays_on_every_card() -> None:
    assert plan_step([rank(1.0, half=5.0), rank(1.0, half=2.0)], 4).precision == "fp16"
    assert plan_step([rank(1.0, half=5.0), rank(1.0, half=0.02)], 4).precision == "fp32"


def test_a_plan_survives_being_written_and_edited() -> None:
    plan = plan_step([rank(30.0), rank(10.0)], batch_rows=8)
    assert Plan.from_dict(plan.to_dict()) == plan
    with pytest.raises(NymphError, match=r"plan.ranks\[0\] has no key 'row'; did you mean 'rows'"):
        Plan.from_dict({**plan.to_dict(), "ranks": [{"row": 3}]})


def test_a_plan_for_other_rows_is_refused(make_job: JobMaker) -> None:
    with pytest.raises(NymphError, match=r"the plan deals 8 rows a step, training\.batch_rows is 3"):
        plan_step([rank(1.0)], batch_rows=8).apply(make_job())


def test_a_planned_run_tells_how_wrong_the_plan_was(make_job: JobMaker) -> None:
    plan = replace(plan_step([rank(1000.0)], batch_rows=3), precision="fp32")
    found = train(plan.apply(make_job())).prediction
    assert found is not None
    assert (found.source, found.predicted_seconds) == ("plan", pytest.approx(6 * 0.003))
    assert found.error == pytest.approx(found.seconds / found.predicted_seconds - 1)


def test_layers_are_split_by_memory() -> None:
    assert stages_by_memory([24, 8, 8], layers=10) == (6, 2, 2)
    assert stages_by_memory([1, 100], layers=2) == (1, 1)


DEEP = replace(TINY, layers=40)
"""Two thirds of its numbers are in its layers."""


@pytest.mark.parametrize(
    ("memory", "sharding", "stages"),
    [
        ((1200, 1200), "none", ()),
        ((1000, 1200), "optimizer", ()),
        ((800, 1200), "full", ()),
        ((430, 1000), "none", (12, 28)),
    ],
)
def test_a_model_that_does_not_fit_is_cut_no_more_than_it_must_be(
    memory: tuple[int, int], sharding: str, stages: tuple[int, ...]
) -> None:
    found = plan_step([rank(1.0, bytes, fixed=1000, row=10) for bytes in memory], batch_rows=8, model=DEEP)
    assert (found.sharding, found.stages, found.batch_rows) == (sharding, stages, 8)
    assert all(one.predicted_memory_bytes <= 0.9 * one.memory_bytes for one in found.ranks)


def test_stages_stand_still_while_the_first_and_last_micro_batches_pass() -> None:
    found = plan_step([rank(1.0, 430, fixed=1000, row=10), rank(1.0, 1000, fixed=1000, row=10)], 8, DEEP)
    assert found.gradient_accumulation == 8
    assert found.step_seconds == pytest.approx((8 + 1) * 0.7)  # 28 of 40 layers, a row at a time


def test_what_fits_in_no_way_is_refused_with_what_is_needed() -> None:
    with pytest.raises(NymphError, match=r"cannot hold the model and one row.*nor do shards or stages.*leave it out"):
        plan_step([rank(1.0, 100, fixed=2000)] * 2, batch_rows=8, model=DEEP)


def test_shards_and_stages_are_not_planned_in_fp16() -> None:
    both = [rank(1.0, 1000, fixed=1000, row=10, half=5.0)] * 2
    assert plan_step(both, 8, DEEP).precision == "fp32"
    assert plan_step([replace(one, gemm_flops={"fp32": 1.0, "bf16": 5.0}) for one in both], 8, DEEP).precision == "bf16"


def test_a_plan_whose_stages_do_not_take_all_rows_is_refused() -> None:
    values = plan_step([rank(1.0), rank(1.0)], batch_rows=4).to_dict()
    values["ranks"][0] |= {"layers": 1, "rows": 3}
    with pytest.raises(NymphError, match=r"got layers \[1, 0\] and rows \[3, 2\]"):
        Plan.from_dict(values)


def test_a_device_too_small_for_the_model_is_measured_with_fewer_layers(make_job: JobMaker) -> None:
    job = make_job(model=replace(TINY, layers=6))
    found = probe_rank(job, "cpu", memory_bytes=500_000, probe_seconds=0.1)
    assert found.weights_bytes == 16 * sum(p.numel() for p in MultimodalModel(job.model).parameters()) > 500_000
    assert 0 < found.rows_per_second < math.inf


def test_a_probe_that_runs_out_of_memory_is_a_device_that_cannot_hold_the_model(
    make_job: JobMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise torch.OutOfMemoryError("tried to allocate 1 EiB")

    monkeypatch.setattr(probe, "apart", full)
    found = probe_rank(make_job(), "cpu", 1 << 30)
    with pytest.raises(NymphError, match="cannot hold the model"):
        plan_step([found], batch_rows=2)
