"""Preparation on a cluster: two workers, each a process of its own, make the tables that one process makes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from nymph.transcription.models import packaged_file
from tests.end_to_end.project import Project

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow, pytest.mark.xdist_group("end_to_end"), pytest.mark.timeout(900)]

PREPARATION = ("run", "--pipelines", "ingestion,transcription,features,sentiment")
TABLES = ("02_intermediate/transcripts", "04_feature", "02_intermediate/utterances.jsonl")


@pytest.fixture
def scheduler() -> Iterator[str]:
    """The address of a cluster of two worker processes on this machine."""
    distributed = pytest.importorskip("distributed")
    options = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "processes": True, "silence_logs": 50}
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, **options) as cluster:
        yield cluster.scheduler_address


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


def tables(project: Project) -> dict[str, bytes]:
    """Contents of every table by name."""
    data = project.root / "data"
    files = [file for name in TABLES for file in ([data / name] if "." in name else (data / name).rglob("*.parquet"))]
    return {str(file.relative_to(data)): file.read_bytes() for file in files}


def test_a_cluster_makes_the_tables_that_one_process_makes(tmp_path: Path, scheduler: str) -> None:
    alone, spread = (with_recordings(tmp_path / name) for name in ("alone", "spread"))
    done = alone.kedro(*PREPARATION)
    assert done.code == 0, done.output
    compute = f"compute.engine=dask,compute.n_jobs=2,compute.address={scheduler}"
    done = spread.kedro(*PREPARATION, "--params", compute)
    assert done.code == 0, done.output
    made = tables(alone)
    assert len(made) == 3 * 4 + 2
    assert tables(spread) == made
