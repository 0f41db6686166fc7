"""Samples for the page: words from tokens, and the recording they came from, from nowhere but the raw folder."""

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from nymph.dashboard.samples import Corpus
from nymph.files import write_json
from nymph.parquet import write_parquet
from nymph.sequences.rows import ORIGIN_SCHEMA
from nymph.sequences.writer import ORIGINS
from nymph.stores.recordings import RECORDING_SCHEMA

from .conftest import Connect

TOKENS = [5, 6, 7, 8]
NAME = "00000010-0.json"
SAMPLE = f"/api/runs/first/samples/{NAME}"


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """One row of two documents; the second is of half a second of a recording."""
    corpus = Corpus(tmp_path / "rows", tmp_path / "recordings.parquet", tmp_path / "raw")
    rows = pa.schema({"tokens": pa.list_(pa.uint16()), "document": pa.list_(pa.uint16())})
    row = {"tokens": [1, 2, *TOKENS], "document": [1, 1, 2, 2, 2, 2]}
    origin = {
        "documents": [
            {"id": "a" * 32, "task": "continue", "source": "text", "positions": 2},
            {"id": f"{'b' * 32}:3", "task": "transcribe", "source": "speech", "positions": 4},
        ],
        "timed": [2, 4],
        "start": [1.5, 1.75],
        "end": [1.75, 2.0],
    }
    (corpus.rows / ORIGINS).mkdir(parents=True)
    write_parquet(corpus.rows / "00000.parquet", rows, [pa.RecordBatch.from_pylist([row], rows)])
    origins = pa.RecordBatch.from_pylist([origin], ORIGIN_SCHEMA)
    write_parquet(corpus.rows / ORIGINS / "00000.parquet", ORIGIN_SCHEMA, [origins])
    corpus.raw.mkdir()
    (corpus.raw / "said.wav").write_bytes(b"RIFF of a recording")
    record(corpus, "said.wav")
    return corpus


def record(corpus: Corpus, source: str) -> None:
    rows = [{"id": "b" * 32, "unit": "b" * 32, "kind": "speech", "source": source, "file_key": source}]
    write_parquet(corpus.recordings, RECORDING_SCHEMA, [pa.RecordBatch.from_pylist(rows, RECORDING_SCHEMA)])


def write_sample(runs: Path, **changes: object) -> None:
    values = {"step": 10, "row": 0, "document": 2, "tokens": TOKENS, "prompt": [5], "generated": [9], "expected": [6]}
    (runs / "first" / "samples").mkdir(exist_ok=True)
    write_json(runs / "first" / "samples" / NAME, {**values, **changes})


@pytest.fixture
def client(connect: Connect, corpus: Corpus, runs: Path) -> Iterator[TestClient]:
    write_sample(runs)
    with connect(corpus=corpus) as client:
        yield client


def test_a_sample_says_which_part_of_which_recording_it_is(client: TestClient) -> None:
    sample = client.get(SAMPLE).json()
    assert sample["recording"] == {"source": "said.wav", "start": 1.5, "end": 2.0}
    assert client.get(f"{SAMPLE}/recording").content == b"RIFF of a recording"


def test_a_browser_may_ask_for_the_part_it_plays(client: TestClient) -> None:
    answer = client.get(f"{SAMPLE}/recording", headers={"range": "bytes=0-3"})
    assert (answer.status_code, answer.content) == (206, b"RIFF")


def test_tokens_of_a_run_without_its_tokenizer_stay_numbers(client: TestClient) -> None:
    assert client.get(SAMPLE).json()["generated"] == "#9"


@pytest.mark.parametrize("changes", [{"tokens": [1]}, {"document": 1}, {"row": 9}, {"row": "x"}, {"row": None}])
def test_rows_that_are_not_the_runs_have_no_recording(client: TestClient, runs: Path, changes: dict) -> None:
    write_sample(runs, **changes)
    assert client.get(SAMPLE).json()["recording"] is None
    assert client.get(f"{SAMPLE}/recording").status_code == 404


@pytest.mark.parametrize("source", ["../secret", "/etc/passwd", "link", "gone.wav"])
def test_nothing_outside_the_raw_folder_is_served(client: TestClient, corpus: Corpus, source: str) -> None:
    (corpus.raw.parent / "secret").write_text("a secret")
    os.symlink(corpus.raw.parent / "secret", corpus.raw / "link")
    record(corpus, source)
    assert client.get(f"{SAMPLE}/recording").status_code == 404


@pytest.mark.parametrize(
    "name", ["events.jsonl", "..%2fevents.jsonl", "00000010-0.json%00", "1.json", "00000011-0.json"]
)
def test_only_samples_are_samples(client: TestClient, name: str) -> None:
    assert client.get(f"/api/runs/first/samples/{name}").status_code == 404


def test_a_link_in_place_of_a_sample_is_not_followed(client: TestClient, runs: Path) -> None:
    os.symlink(runs / "first" / "events.jsonl", runs / "first" / "samples" / "00000012-0.json")
    assert client.get("/api/runs/first/samples/00000012-0.json").status_code == 404
