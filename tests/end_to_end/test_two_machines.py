"""ryzen prepares and serves, threadripper trains: the same rows, the same losses as from local files."""

import json
import re
import signal
from pathlib import Path

import pytest

from nymph.training.events import read_events
from tests.end_to_end.project import QUICK, Project, kill_group

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow, pytest.mark.timeout(900)]

LAPTOP = {"NYMPH_WHISPER_MODEL": "offline-tiny-en", "NYMPH_DEVICE": "cpu", "NYMPH_COMPUTE_TYPE": "int8"}


def losses(project: Project) -> list[tuple[int, float]]:
    (log,) = (project.root / "data/08_reporting/runs").glob("tiny-*/events.jsonl")
    return [(event["step"], event["loss"]) for event in read_events(log) if event["kind"] == "step"]


def test_threadripper_trains_on_what_ryzen_serves_with_the_losses_of_local_files(
    tmp_path: Path,
) -> None:
    local, remote = Project.create(tmp_path / "local"), Project.create(tmp_path / "threadripper")
    ryzen = local.kedro("run", "--env", "ryzen", **LAPTOP)
    assert ryzen.code == 0, ryzen.output
    server = local.start("serve", "--env", "ryzen", "--port", "0")
    try:
        assert server.stdout is not None
        address = re.search(r"grpc://\S+", server.stdout.readline())
        assert address
        trained = remote.kedro("run", "--env", "threadripper", "--params", QUICK, NYMPH_FLIGHT=address[0])
    finally:
        kill_group(server, signal.SIGTERM)
    assert trained.code == 0, trained.output
    assert not (remote.root / "data/05_model_input").exists()
    assert local.kedro("run", "--pipelines", "training", "--params", QUICK).code == 0
    assert losses(remote) == losses(local)
    report = json.loads((remote.root / "data/08_reporting/evaluation.json").read_text())
    assert report["samples"]


def test_the_catalog_shows_the_flight_entries(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "project")
    done = project.kedro("catalog", "resolve-patterns", "--env", "threadripper")
    assert done.code == 0, done.output
    assert "nymph.datasets.flight.FlightDataset" in done.output
    assert "grpc://127.0.0.1:9090" in done.output
