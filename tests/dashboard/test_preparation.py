"""How far a Kedro run is with its stages."""

from pathlib import Path
from typing import Any

from nymph.dashboard.preparation import PREPARATION, Preparation
from nymph.training.events import EVENTS, EventLog


def stages(preparation: Preparation) -> dict[str, dict[str, Any]]:
    preparation.look()
    return {stage["name"]: stage for stage in preparation.summary()["stages"]}


def open_preparation(runs: Path, name: str = "2026-01-01") -> EventLog:
    return EventLog(runs / PREPARATION / name / EVENTS)


def test_stages_wait_run_and_are_done(tmp_path: Path) -> None:
    preparation = Preparation(tmp_path)
    with open_preparation(tmp_path) as log:
        log.write("start", stages=["ingestion", "features"])
        log.write("node", stage="ingestion", name="find_recordings")
        log.write("progress", stage="find recordings", items=10, made=4, reused=5, quarantined=1)
        assert [stage["state"] for stage in stages(preparation).values()] == ["running", "waiting"]
        assert stages(preparation)["ingestion"]["made"] == 4
        log.write("node", stage="features", name="measure")
        log.write("end", status="finished")
    assert [stage["state"] for stage in stages(preparation).values()] == ["done", "done"]


def test_a_failure_is_told_where_it_happened(tmp_path: Path) -> None:
    with open_preparation(tmp_path) as log:
        log.write("start", stages=["ingestion", "features"])
        log.write("node", stage="ingestion", name="find_recordings")
        log.write("end", status="failed", reason="no recordings")
    assert [stage["state"] for stage in stages(Preparation(tmp_path)).values()] == ["failed", "waiting"]


def test_the_latest_run_is_shown(tmp_path: Path) -> None:
    preparation = Preparation(tmp_path)
    for name, stage in (("2026-01-01", "ingestion"), ("2026-01-02", "parquet")):
        with open_preparation(tmp_path, name) as log:
            log.write("start", stages=[stage])
        assert list(stages(preparation)) == [stage]
