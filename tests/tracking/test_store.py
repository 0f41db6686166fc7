"""What MLflow really keeps, in a real database."""

import base64
import json
import math
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nymph.files import write_json
from nymph.tracking.follower import follow
from nymph.tracking.journal import End, Journal, Sent
from nymph.training.events import EVENTS, EventLog

from .conftest import write_steps

pytestmark = pytest.mark.slow
Begin = Callable[..., Journal]


def client(database: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{database}")


def finish(journal: Journal, status: str = "FINISHED") -> str:
    journal.end(End(status))
    assert follow(journal.folder)
    return str(journal.sent.run_id)


def test_points_arrive_with_step_time_and_not_a_number(database: Path, begin: Begin, runs: Path) -> None:
    journal = begin()
    with EventLog(runs / "train" / EVENTS) as log:
        event = log.write("step", step=7, loss=math.nan, learning_rate=0.5)
    run_id = finish(journal)
    (rate,) = client(database).get_metric_history(run_id, "train/learning_rate")
    (loss,) = client(database).get_metric_history(run_id, "train/loss")
    assert (rate.step, rate.timestamp, rate.value) == (7, int(event["time"] * 1000), 0.5)
    assert math.isnan(loss.value)


def test_a_run_sent_twice_is_there_once(database: Path, begin: Begin, runs: Path) -> None:
    journal = begin()
    write_steps(runs, 1, 30)
    with EventLog(runs / "train" / EVENTS) as log:
        log.write("evaluation", step=30, split="validation", loss=1.0)
        log.write("checkpoint", step=30, path="checkpoints/step-30", bytes=1, seconds=0.1, best=True)
    run_id = finish(journal)
    journal.acknowledge(Sent())
    assert finish(journal) == run_id
    mlflow = client(database)
    experiment = mlflow.get_experiment_by_name("nymph").experiment_id
    assert len(mlflow.get_metric_history(run_id, "train/loss")) == 30
    assert len(mlflow.get_metric_history(run_id, "validation/loss")) == 1
    assert len(mlflow.search_runs([experiment])) == 1
    assert len(mlflow.search_logged_models([experiment])) == 1
    assert len(mlflow.search_model_versions("name = 'nymph'")) == 1


@pytest.mark.faults
def test_a_locked_database_is_waited_for(database: Path, begin: Begin, runs: Path) -> None:
    journal = begin()
    write_steps(runs, 1, 20)
    journal.end(End("FINISHED"))
    other = sqlite3.connect(database, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    threading.Thread(target=release_once_noticed, args=(other, journal), daemon=True).start()
    assert follow(journal.folder, patience=240)
    steps = [point.step for point in client(database).get_metric_history(journal.sent.run_id, "train/loss")]
    assert steps == list(range(1, 21))


def release_once_noticed(lock: sqlite3.Connection, journal: Journal) -> None:
    while "locked" not in journal.sent.error:
        time.sleep(0.1)
    lock.rollback()


def test_params_tags_and_inputs_say_what_the_run_was(database: Path, begin: Begin) -> None:
    params = {f"training.option_{i}": str(i) for i in range(250)}
    journal = begin(params=params, tags={"kedro.env": "base"}, inputs={"tokenizer": "ab12" * 8})
    journal.end(End("FINISHED", inputs={"rows": "cd34" * 8}))
    assert follow(journal.folder, patience=240)
    run = client(database).get_run(journal.sent.run_id)
    assert run.data.params == params
    assert run.data.tags["kedro.env"] == "base"
    used = {entry.dataset.name: entry.dataset.digest for entry in run.inputs.dataset_inputs}
    assert used == {"tokenizer": "ab12" * 8, "rows": "cd34" * 8}
    assert {name: run.data.tags[f"hash.{name}"] for name in used} == used


def test_the_best_checkpoint_has_its_alias_path_and_metrics(database: Path, begin: Begin, runs: Path) -> None:
    journal = begin()
    with EventLog(runs / "train" / EVENTS) as log:
        for step, best in ((10, True), (20, False)):
            log.write("evaluation", step=step, split="validation", loss=step / 10)
            log.write("checkpoint", step=step, path=f"checkpoints/step-{step}", bytes=1, seconds=0.1, best=best)
    finish(journal)
    mlflow = client(database)
    version = mlflow.get_model_version_by_alias("nymph", "best")
    model = mlflow.get_logged_model(version.source.removeprefix("models:/"))
    assert (model.name, model.tags["path"]) == ("step-00000010", "checkpoints/step-10")
    assert [(metric.key, metric.value, metric.step) for metric in model.metrics] == [("validation/loss", 1.0, 10)]
    assert mlflow.get_model_version_by_alias("nymph", "latest").version > version.version


def test_names_mlflow_would_refuse_do_not_stop_the_rest(database: Path, begin: Begin, runs: Path) -> None:
    journal = begin()
    with EventLog(runs / "train" / EVENTS) as log:
        log.write("step", step=1, losses={"näx?t<b>#" * 40: 1.0}, loss=2.0)
        log.write("alert", step=1, rule="spike!", message="x" * 9000)
    assert client(database).get_run(finish(journal)).data.metrics["train/loss"] == 2.0


def test_the_machine_is_watched_under_mlflows_names(database: Path, begin: Begin) -> None:
    journal = begin(system_metrics=True)
    with EventLog(journal.folder / "system.jsonl") as log:
        from nymph.tracking.machine import sample

        log.write("system", step=0, **sample(journal.folder))
    metrics = client(database).get_run(finish(journal)).data.metrics
    assert metrics["system/system_memory_usage_percentage"] > 0


def test_reports_are_kept_with_the_run(database: Path, begin: Begin, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}")
    journal = begin()
    journal.end(End("FINISHED", reports=[str(tmp_path / "report.json"), str(tmp_path / "gone.json")]))
    files = client(database).list_artifacts(finish(journal), "reports")
    assert [file.path for file in files] == ["reports/report.json"]


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_a_run_ends_as_its_journal_says(database: Path, begin: Begin, status: str) -> None:
    assert client(database).get_run(finish(begin(), status)).info.status == status


def test_samples_become_one_table_and_pictures(database: Path, begin: Begin, runs: Path, tmp_path: Path) -> None:
    journal, mel = begin(), base64.b64encode(bytes(80)).decode()
    with EventLog(runs / "train" / EVENTS) as log:
        for step in (2, 4):
            sample = {"step": step, "prompt": [5], "mel": {"bins": 80, "true": mel, "predicted": mel}}
            write_json(runs / "train" / "samples" / f"{step:08d}-0.json", sample)
            log.write("sample", step=step, file=f"samples/{step:08d}-0.json")
    run_id, mlflow = finish(journal), client(database)
    table = json.loads(Path(mlflow.download_artifacts(run_id, "samples.json", str(tmp_path))).read_text())
    assert [row[:2] for row in table["data"]] == [[2, "#5"], [4, "#5"]]
    assert [file.path for file in mlflow.list_artifacts(run_id, "samples")] == ["samples/00000004-0.png"]
    assert "samples.json" in mlflow.get_run(run_id).data.tags["mlflow.loggedArtifacts"]
