"""Kedro runs that finish, fail and are killed, in a project of their own, as MLflow sees them afterwards."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from nymph.errors import NymphError
from nymph.hooks.tracking import MlflowOptions, _reports, absolute_uri, read_options

pytestmark = pytest.mark.timeout(900)
OPTIONS = "tracking_uri: sqlite:///mlflow/mlflow.db\nruns_directory: runs\nsystem_metrics: false\nwait_seconds: 240\n"
"""The follower is nice to others: beside two busy workers a minute may not be enough for it to import MLflow."""
PROJECT = {
    "pyproject.toml": '[tool.kedro]\npackage_name = "mini"\nproject_name = "mini"\nkedro_init_version = "1.7.0"\n',
    "conf/base/mlflow.yml": OPTIONS,
    "conf/base/parameters.yml": "training: {steps: 3, schedule: {warmup: 0.1}}\n",
    "conf/base/catalog.yml": "report: {type: MemoryDataset}\nwords: {type: mini.words.Words, filepath: words.json}\n",
    "conf/local/.gitkeep": "",
    "src/mini/__init__.py": "",
    "src/mini/settings.py": """
from nymph.hooks.tracking import TrackingHook
HOOKS = (TrackingHook(),)
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry", "kedro_telemetry")
CONFIG_LOADER_ARGS = {"base_env": "base", "default_run_env": "local", "config_patterns": {"mlflow": ["mlflow*"]}}
""",
    "src/mini/words.py": """
from kedro_datasets.json import JSONDataset
class Words(JSONDataset):
    def fingerprint(self):
        return "ab12" * 8 if self.exists() else None
""",
    "src/mini/pipeline_registry.py": """
import os, time
from pathlib import Path
from kedro.pipeline import Node, Pipeline
from nymph.training.events import EventLog

def train(options, words):
    with EventLog("runs/train/events.jsonl") as log:
        for step in range(1, options["steps"] + 1):
            log.write("step", step=step, loss=1 / step)
    Path("training").touch()
    if os.environ["MINI"] == "fail":
        raise ValueError("no data")
    if os.environ["MINI"] == "hang":
        time.sleep(600)
    return "trained"

def count(options):
    return {"words": 3}

def register_pipelines():
    nodes = [
        Node(count, "params:training", "words", name="count"),
        Node(train, ["params:training", "words"], "report", name="train"),
    ]
    return {"__default__": Pipeline(nodes)}
""",
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database MLflow has prepared once."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow import MlflowClient

    database = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{database}").search_experiments()
    return database


@pytest.fixture
def project(tmp_path: Path, prepared: Path) -> Path:
    for name, text in PROJECT.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / "mlflow").mkdir()
    shutil.copy(prepared, tmp_path / "mlflow" / "mlflow.db")
    return tmp_path


def kedro_run(project: Path, behaviour: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "kedro", "run"]
    return subprocess.Popen(
        command, cwd=project, env=os.environ | {"MINI": behaviour, "DO_NOT_TRACK": "1"}, stderr=subprocess.DEVNULL
    )


def interrupt(project: Path, number: signal.Signals) -> None:
    """Start a run, let it train, and send it a signal."""
    process = kedro_run(project, "hang")
    while not (project / "training").exists():
        assert process.poll() is None, "the run ended before it trained"
        time.sleep(0.1)
    process.send_signal(number)
    assert process.wait() != 0


def runs_of(project: Path) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project}/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("nymph")
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


def wait_until_closed(project: Path) -> None:
    """The follower of a killed run closes it on its own."""
    deadline = time.monotonic() + 240
    while [run.info.status for run in runs_of(project)] in ([], ["RUNNING"]) and time.monotonic() < deadline:
        time.sleep(0.5)


@pytest.mark.slow
def test_a_run_that_finishes_has_its_params_and_points(project: Path) -> None:
    assert kedro_run(project, "finish").wait() == 0
    (run,) = runs_of(project)
    assert (run.info.status, run.data.metrics["train/loss"]) == ("FINISHED", 1 / 3)
    assert run.data.params == {"training.steps": "3", "training.schedule.warmup": "0.1"}
    assert [entry.dataset.name for entry in run.inputs.dataset_inputs] == ["words"]  # made by the run, and used by it
    assert len(run.data.tags["hash.code"]) == 32


@pytest.mark.slow
def test_a_run_that_fails_says_why(project: Path) -> None:
    assert kedro_run(project, "fail").wait() != 0
    (run,) = runs_of(project)
    assert (run.info.status, run.data.tags["nymph.reason"]) == ("FAILED", "ValueError: no data")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_is_killed_and_keeps_its_points(project: Path, number: signal.Signals) -> None:
    interrupt(project, number)
    wait_until_closed(project)
    (run,) = runs_of(project)
    assert (run.info.status, run.data.metrics["train/loss"]) == ("KILLED", 1 / 3)


@pytest.mark.slow
def test_a_server_that_is_away_costs_a_warning_and_nothing_else(project: Path) -> None:
    options = "tracking_uri: http://127.0.0.1:9\nruns_directory: runs\nsystem_metrics: false\nwait_seconds: 0\n"
    (project / "conf/base/mlflow.yml").write_text(options)
    done = subprocess.run(
        [sys.executable, "-m", "kedro", "run"],
        cwd=project,
        env=os.environ | {"MINI": "finish", "DO_NOT_TRACK": "1", "COLUMNS": "400"},
        capture_output=True,
    )
    said = " ".join((done.stdout + done.stderr).decode().split())
    assert done.returncode == 0
    assert "cannot be reached" in said
    assert "Nothing is lost" in said


def test_a_relative_database_is_the_projects(tmp_path: Path) -> None:
    assert absolute_uri("sqlite:///data/mlflow.db", tmp_path) == f"sqlite:///{tmp_path.resolve()}/data/mlflow.db"
    assert absolute_uri("sqlite:////srv/mlflow.db", tmp_path) == "sqlite:////srv/mlflow.db"
    assert absolute_uri("http://box:5000", tmp_path) == "http://box:5000"


def test_only_small_files_of_this_run_are_its_reports(tmp_path: Path) -> None:
    for name, size in (("old.json", 1), ("new.json", 1), ("huge.json", 5_000_001)):
        (tmp_path / name).write_bytes(b"x" * size)
    os.utime(tmp_path / "old.json", (1.0, 1.0))
    assert _reports(tmp_path, since=100.0) == [str(tmp_path / "new.json")]


def test_without_a_file_the_defaults_stand() -> None:
    assert read_options({}) == MlflowOptions()


def test_a_misspelt_option_is_named() -> None:
    with pytest.raises(NymphError, match=r"tracking_url.*tracking_uri"):
        read_options({"mlflow": {"tracking_url": "http://box:5000"}})
