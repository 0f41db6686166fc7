"""ryzen prepares and serves, threadripper trains: the same rows, the same losses as from local files.

A cluster of worker processes prepares what one process prepares.
"""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import soundfile
from polars.testing import assert_frame_equal

from nymph.training.events import read_events
from nymph.transcription.models import packaged_file
from tests.end_to_end.project import LAPTOP, QUICK, Project, kill_group

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow, pytest.mark.timeout(900)]

PREPARATION = ("run", "--env", "ryzen", "--pipelines", "ingestion,transcription,features,sentiment")
SMALL = "parquet.context_length=256,tokenizer.vocabulary_size=4096"
"""The data box's rows as in base: its own are for a model that no laptop trains."""
SAME = f"{QUICK},training.preset=tiny,training.gradient_accumulation=1,training.optimiser.learning_rate=0.0005"
"""What else the two environments would train differently."""
TABLES = ("02_intermediate/transcripts", "04_feature", "02_intermediate/utterances.jsonl")


def with_recordings(root: Path) -> Project:
    """A project with the sample conversation in three pieces."""
    project = Project.create(root)
    samples, rate = soundfile.read(packaged_file("pyannote", "audio", "sample", "sample.wav"), dtype="int16")
    folder = root / "data/01_raw"
    folder.mkdir(parents=True)
    (folder / ".sample-offered").touch()
    for third in range(3):
        soundfile.write(folder / f"{third}.wav", samples[third * 10 * rate : (third + 1) * 10 * rate], rate)
    return project


@pytest.fixture(scope="module")
def ryzen(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The data box after its run, in one process."""
    project = with_recordings(tmp_path_factory.mktemp("ryzen") / "project")
    done = project.kedro("run", "--env", "ryzen", "--params", f"compute.n_jobs=1,{SMALL}", **LAPTOP)
    assert done.code == 0, done.output
    return project


def address_of(server: "subprocess.Popen[str]") -> str:
    """Where a `kedro serve` says that it listens, whatever it says before."""
    assert server.stdout is not None
    said = []
    for line in server.stdout:
        said.append(line)
        if address := re.search(r"grpc://\S+", line):
            return address[0]
    raise AssertionError("the server ended: " + "".join(said))


def losses(project: Project) -> dict[int, float]:
    (log,) = (project.root / "data/08_reporting/runs").glob("tiny-*/events.jsonl")
    return {event["step"]: event["loss"] for event in read_events(log) if event["kind"] == "step"}


def test_threadripper_trains_on_what_ryzen_serves_with_the_losses_of_local_files(
    ryzen: Project, tmp_path: Path
) -> None:
    remote = Project.create(tmp_path / "threadripper")
    server = ryzen.start("serve", "--env", "ryzen", "--port", "0")
    try:
        flight = address_of(server)
        trained = remote.kedro("run", "--env", "threadripper", "--params", SAME, NYMPH_FLIGHT=flight)
    finally:
        kill_group(server, signal.SIGTERM)
    assert trained.code == 0, trained.output
    assert not (remote.root / "data/05_model_input").exists()
    here = ryzen.kedro("run", "--pipelines", "training", "--params", SAME)
    assert here.code == 0, here.output
    assert losses(remote) == pytest.approx(losses(ryzen), rel=1e-5)
    report = json.loads((remote.root / "data/08_reporting/evaluation.json").read_text())
    assert report["samples"]


def test_the_catalog_shows_the_flight_entries(ryzen: Project) -> None:
    done = ryzen.kedro("catalog", "resolve-patterns", "--env", "threadripper")
    assert done.code == 0, done.output
    assert "nymph.datasets.flight.FlightDataset" in done.output
    assert "grpc://127.0.0.1:9090" in done.output


@pytest.fixture
def scheduler() -> Iterator[str]:
    """The address of a cluster of two worker processes on this machine."""
    distributed = pytest.importorskip("distributed")
    options = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "processes": True, "silence_logs": 50}
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, **options) as cluster:
        yield cluster.scheduler_address


def tables(project: Project) -> dict[str, pl.DataFrame]:
    """Every table by name."""
    data = project.root / "data"
    files = [file for name in TABLES for file in ([data / name] if "." in name else (data / name).rglob("*.parquet"))]
    return {
        str(file.relative_to(data)): pl.read_ndjson(file, infer_schema_length=None)
        if file.suffix == ".jsonl"
        else pl.read_parquet(file)
        for file in files
    }


def test_a_cluster_makes_the_tables_that_one_process_makes(ryzen: Project, tmp_path: Path, scheduler: str) -> None:
    spread = with_recordings(tmp_path / "spread")
    compute = f"compute.engine=dask,compute.n_jobs=2,compute.address={scheduler}"
    done = spread.kedro(*PREPARATION, "--params", compute, **LAPTOP)
    assert done.code == 0, done.output
    alone, made = tables(ryzen), tables(spread)
    assert len(alone) == 3 * 4 + 2
    assert made.keys() == alone.keys()
    for name, table in alone.items():
        assert_frame_equal(made[name], table, rel_tol=1e-4, abs_tol=1e-5)
