"""Tables for torch's DataLoader: every row once an epoch, continued at the row."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from torch.utils.data import DataLoader

from nymph.errors import NymphError
from nymph.flight.server import FlightServer
from nymph.flight.torch_dataset import ArrowFlightDataset, Reading, tensors

from .rows import LENGTH, shards, training_rows


def ids_of(batches: object) -> list[int]:
    return [row for batch in batches for row in batch["id"].tolist()]  # type: ignore[attr-defined]


def test_columns_become_tensors_with_their_shapes() -> None:
    batch = training_rows(9).to_batches()[0].slice(3)
    found = tensors(batch)
    lengths = found["audio_offsets"].diff().tolist()
    assert found["tokens"].tolist() == batch["tokens"].to_pylist()
    assert found["prosody"].shape == (6, 4 * LENGTH)
    assert lengths == [len(row) for row in batch["audio"].to_pylist()]
    assert found["audio"].shape == (sum(lengths), 6)
    assert found["audio"].dtype == torch.float16


def test_nulls_are_named_not_guessed() -> None:
    lists = pa.array([[1, 2], None], pa.list_(pa.int16(), 2))
    for column in (lists, pa.array([1, None])):
        with pytest.raises(NymphError, match="'x' has nulls"):
            tensors(pa.record_batch({"x": column}))


def test_an_epoch_has_every_row_and_the_next_another_order(tmp_path: Path) -> None:
    dataset = ArrowFlightDataset(str(shards(tmp_path / "t", 101)))
    first, second = (ids_of(DataLoader(dataset, batch_size=None)) for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(101))
    assert first != second
    assert len(dataset) == 13


def test_local_and_remote_rows_are_the_same(tmp_path: Path, serve: Callable[..., FlightServer]) -> None:
    folder = shards(tmp_path / "t", 101)
    address = f"grpc://127.0.0.1:{serve({'t': folder}).port}/t"
    reading = Reading(batch_rows=10, seed=3, rank=1, world=3)
    assert ids_of(ArrowFlightDataset(address, reading)) == ids_of(ArrowFlightDataset(str(folder), reading))


def test_it_goes_on_after_the_row_of_its_state(tmp_path: Path) -> None:
    folder, reading = str(shards(tmp_path / "t", 101)), Reading(batch_rows=10)
    whole = ids_of(ArrowFlightDataset(folder, reading))
    first = ArrowFlightDataset(folder, reading)
    stream = iter(first)
    start = ids_of([next(stream), next(stream)])
    second = ArrowFlightDataset(folder, reading)
    second.load_state_dict(first.state_dict())
    assert start + ids_of(second) == whole


def test_mixed_tables_and_token_budgets_are_continued_too(tmp_path: Path) -> None:
    folders = [str(shards(tmp_path / "a", 40)), str(shards(tmp_path / "b", 20))]
    reading = Reading(batch_tokens=5 * LENGTH, weights=(0.5, 2))
    whole = ids_of(ArrowFlightDataset(folders, reading))
    first = ArrowFlightDataset(folders, reading)
    start = next(iter(first))["id"].tolist()
    second = ArrowFlightDataset(folders, reading)
    second.load_state_dict(first.state_dict())
    assert len(start) == 5
    assert len(whole) == 60
    assert start + ids_of(second) == whole


def test_another_table_is_not_continued(tmp_path: Path) -> None:
    state = ArrowFlightDataset(str(shards(tmp_path / "a", 20))).state_dict()
    with pytest.raises(NymphError, match="expected fingerprint"):
        ArrowFlightDataset(str(shards(tmp_path / "b", 21))).load_state_dict(state)


@pytest.mark.slow
def test_workers_share_the_rows(tmp_path: Path) -> None:
    folder = shards(tmp_path / "t", 101)
    loader = DataLoader(
        ArrowFlightDataset(str(folder)), batch_size=None, num_workers=2, multiprocessing_context="spawn"
    )
    assert sorted(ids_of(loader)) == list(range(101))
