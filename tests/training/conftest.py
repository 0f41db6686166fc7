"""Tiny rows and jobs that the training tests share."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nymph.model.config import AttentionConfig, ModelConfig, WindowConfig
from nymph.sequences.schema import PATCH, PROSODY, SPEAKER, VOCABULARY_KEY, row_schema
from nymph.training import samples
from nymph.training.job import Job

T = 16
VOCABULARY = 32

TINY = ModelConfig(
    vocabulary_size=VOCABULARY,
    context_length=T,
    width=16,
    layers=2,
    attention=AttentionConfig(type="gqa", heads=2, key_value_heads=1),
    window=WindowConfig(size=8, local=1),
    feed_forward=32,
)
"""A model of a few thousand parameters with all five inputs."""


def table(rows: int, seed: int = 0) -> pa.Table:
    """Rows with every stream: two documents each, text and three mel patches, one speaker."""
    chance = np.random.default_rng(seed)
    schema = row_schema(T, "uint16", {VOCABULARY_KEY: str(VOCABULARY).encode()})
    start = chance.integers(0, VOCABULARY, (rows, 1))
    tokens = (start + np.arange(T) * chance.integers(1, 4, (rows, 1))) % VOCABULARY  # learnable: a constant stride
    document = np.repeat(np.where(np.arange(T) < T // 2, 1, 2)[None], rows, 0)
    modality = np.ones((rows, T))
    modality[:, 2:5] = 2
    columns = {
        "tokens": tokens,
        "modality": modality,
        "loss_weight": (modality == 1).astype(float),
        "document": document,
        "sentiment": np.repeat(chance.integers(-1, 3, (rows, 1)), T, 1),
        "speaker": np.zeros((rows, T)),
        "prosody": chance.standard_normal((rows, T * PROSODY)),
        "speaker_vector": [[vector] for vector in chance.standard_normal((rows, SPEAKER)).astype(np.float16)],
        "audio_position": [[2, 3, 4]] * rows,
        "audio": [list(patches) for patches in chance.standard_normal((rows, 3, PATCH)).astype(np.float16)],
    }
    return pa.Table.from_arrays([_column(columns[field.name], field.type) for field in schema], schema=schema)


def _column(values: Any, kind: pa.DataType) -> pa.Array:
    if not isinstance(values, np.ndarray):
        return pa.array(values, kind)
    flat = pa.array(values.reshape(-1).astype(kind.value_type.to_pandas_dtype()), kind.value_type)
    return pa.FixedSizeListArray.from_arrays(flat, type=kind)


def write_rows(folder: Path, rows: int, seed: int = 0) -> str:
    """A folder with one shard of `table(rows, seed)`."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table(rows, seed), folder / "00000.parquet", write_page_checksum=True)
    return os.fspath(folder)


@pytest.fixture(autouse=True)
def short_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a model makes of documents is short: few tests look at it, and it took most of a tiny run's time."""
    monkeypatch.setattr(samples, "TOKENS", 4)


JobMaker = Callable[..., Job]


@pytest.fixture
def make_job(tmp_path: Path) -> JobMaker:
    """Jobs of 6 steps on 20 training and 6 validation rows in this test's folder; every field can be overridden."""
    train, validation = write_rows(tmp_path / "train", 20, seed=1), write_rows(tmp_path / "validation", 6, seed=2)

    def make(name: str = "run", **options: Any) -> Job:
        values: dict[str, Any] = {
            "train_rows": train,
            "validation_rows": validation,
            "run_directory": os.fspath(tmp_path / "runs" / name),
            "checkpoint_directory": os.fspath(tmp_path / "checkpoints" / name),
            "model": TINY,
            "steps": 6,
            "batch_rows": 3,
            "evaluation_every": 3,
            "checkpoint_every": 2,
            "console_every": 0,
            "device": "cpu",
        }
        return Job(**{**values, **options})

    return make
