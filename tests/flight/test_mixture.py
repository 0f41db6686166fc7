"""Mixtures: every row of each table as often as its weight says, in an order that is the same everywhere."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nymph.errors import NymphError
from nymph.flight.mixture import Mixture
from nymph.flight.order import Order
from nymph.flight.server import FlightServer
from nymph.flight.source import open_source
from nymph.flight.tickets import Ticket

from .rows import ids, shards, words, write

PARTS = st.lists(st.tuples(st.integers(1, 60), st.floats(0.05, 4)), min_size=1, max_size=5)


def drawn(mixture: Mixture, epoch: int, seed: int = 7, shuffle: bool = True) -> list[tuple[int, int]]:
    """Table and row at every position of an epoch."""
    tables, rows = mixture.rows_at(np.arange(mixture.rows), Order(mixture.rows, seed, epoch, shuffle))
    return list(zip(tables.tolist(), rows.tolist(), strict=True))


def mixture_of(parts: list[tuple[int, float]]) -> Mixture:
    return Mixture(tuple(size for size, _ in parts), tuple(weight for _, weight in parts))


@settings(max_examples=100, deadline=None)
@given(PARTS, st.integers(0, 2**40), st.integers(0, 99), st.booleans())
def test_an_epoch_has_the_rows_of_each_table_that_its_weight_says(
    parts: list[tuple[int, float]], epoch: int, seed: int, shuffle: bool
) -> None:
    mixture = mixture_of(parts)
    counts = Counter(drawn(mixture, epoch, seed, shuffle))
    for table, (size, weight) in enumerate(parts):
        times = [counts[table, row] for row in range(size)]
        assert sum(times) == round(size * weight)
        assert max(times) - min(times) <= 2  # the end of one pass and the beginning of the next
    assert sum(counts.values()) == mixture.rows


@settings(max_examples=50, deadline=None)
@given(PARTS, st.integers(1, 9))
def test_over_epochs_every_row_of_a_table_comes_equally_often(parts: list[tuple[int, float]], epochs: int) -> None:
    mixture = mixture_of(parts)
    counts = Counter(place for epoch in range(epochs) for place in drawn(mixture, epoch))
    for table, (size, _) in enumerate(parts):
        times = [counts[table, row] for row in range(size)]
        assert max(times) - min(times) <= 1


def test_whole_weights_repeat_every_row() -> None:
    counts = Counter(drawn(Mixture((10, 5), (1, 3)), 4))
    assert {counts[0, row] for row in range(10)} == {1}
    assert {counts[1, row] for row in range(5)} == {3}


def test_tables_are_shuffled_together() -> None:
    tables = np.array([table for table, _ in drawn(Mixture((1000, 1000), (1, 1)), 0)])
    changes = np.count_nonzero(np.diff(tables))
    assert 900 < changes < 1100


def test_the_order_is_pinned_so_that_old_checkpoints_keep_their_rows() -> None:
    assert drawn(Mixture((4, 3), (0.5, 2)), 1, seed=1) == [
        (1, 2),
        (1, 0),
        (1, 2),
        (0, 3),
        (0, 2),
        (1, 1),
        (1, 1),
        (1, 0),
    ]


def test_positions_alone_tell_the_rows() -> None:
    mixture = Mixture((100, 30), (0.3, 1.7))
    order = Order(mixture.rows, 5, 3)
    whole = mixture.rows_at(np.arange(mixture.rows), order)
    some = np.array([80, 3, 41])
    assert [each.tolist() for each in mixture.rows_at(some, order)] == [each[some].tolist() for each in whole]


@pytest.mark.parametrize("weights", [(), (1,), (1, 0), (1, -1), (1, float("nan")), (1, 2**60)])
def test_weights_that_mean_nothing_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(NymphError, match="expected"):
        Mixture((10, 10), weights)


def test_local_and_remote_mixtures_are_the_same_on_any_world(
    tmp_path: Path, serve: Callable[..., FlightServer]
) -> None:
    folders = [shards(tmp_path / "a", 60), shards(tmp_path / "b", 40)]
    server = serve({"data": tmp_path})
    local = open_source([str(folder) for folder in folders], weights=[0.5, 2])
    names = [f"grpc://127.0.0.1:{server.port}/data/{name}" for name in "ab"]
    remote = open_source(names, weights=[0.5, 2], streams=2, prefetch=1)
    whole = Ticket("any", seed=3, epoch=2, start=4, batch_rows=7)
    assert pa.Table.from_batches(local.batches(whole)).equals(pa.Table.from_batches(remote.batches(whole)))
    order = ids(local.batches(whole))
    for rank in range(3):
        mine = [row for position, row in enumerate(order, start=4) if position % 3 == rank]
        assert ids(remote.batches(replace(whole, rank=rank, world=3))) == mine
    assert local.rows == remote.rows == 110
    assert local.fingerprint == remote.fingerprint


def test_rows_keep_their_columns_when_mixed(tmp_path: Path) -> None:
    folders = [shards(tmp_path / "a", 60), shards(tmp_path / "b", 60)]
    single = pa.Table.from_batches(open_source(str(folders[0])).batches(Ticket("any", shuffle=False)))
    mixed = pa.Table.from_batches(open_source([str(folder) for folder in folders]).batches(Ticket("any", seed=1)))
    assert mixed.num_rows == 120
    assert mixed.take(mixed["id"].combine_chunks().to_pylist() and pa.array(np.argsort(mixed["id"])[::2])).equals(
        single
    )


def test_many_tables_have_a_name_that_fits_a_ticket(tmp_path: Path) -> None:
    folders = [str(shards(tmp_path / f"{number:0100}", 3)) for number in range(9)]
    source = open_source(folders)
    assert len(ids(source.batches(Ticket(source.table)))) == 27


def test_tables_of_words_and_of_two_places_are_not_mixed(tmp_path: Path) -> None:
    good, bad = str(shards(tmp_path / "a", 5)), str(write(tmp_path / "w" / "a.parquet", words(5)).parent)
    with pytest.raises(NymphError, match="have different columns"):
        open_source([good, bad])
    with pytest.raises(NymphError, match="varying width"):
        open_source([bad, bad])
    with pytest.raises(NymphError, match="tables of one place"):
        open_source([good, "grpc://127.0.0.1:1/t"])
