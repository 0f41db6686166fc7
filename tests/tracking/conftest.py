"""Runs with small event logs, and a database MLflow has prepared once."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nymph.tracking.journal import Journal, Start
from nymph.training.events import EVENTS, EventLog


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def begin(runs: Path, tmp_path: Path) -> Callable[..., Journal]:
    """A journal of a run of this process; keyword arguments change its start."""

    def journal(run: str = "kedro-run", **changes: object) -> Journal:
        uri = f"sqlite:///{tmp_path}/mlflow.db"
        start = {"experiment": "nymph", "tracking_uri": uri, "system_metrics": False} | changes
        return Journal.create(runs, Start(run=run, **start))  # type: ignore[arg-type]

    return journal


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables; making them takes MLflow many seconds, copying them none."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow import MlflowClient

    database = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{database}").search_experiments()
    return database


@pytest.fixture
def database(prepared: Path, tmp_path: Path) -> Path:
    """A fresh copy of it, where `begin` points."""
    return Path(shutil.copy(prepared, tmp_path / "mlflow.db"))


def write_steps(runs: Path, first: int, last: int, run: str = "train") -> None:
    with EventLog(runs / run / EVENTS) as log:
        for step in range(first, last + 1):
            log.write("step", step=step, loss=1 / step, losses={"next_token": 2 / step})


def write_end(runs: Path, status: str, run: str = "train") -> None:
    with EventLog(runs / run / EVENTS) as log:
        log.write("end", status=status, step=1, reason="")
