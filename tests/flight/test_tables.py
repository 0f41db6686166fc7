"""Tables: the rows of Parquet, by position, cached once."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nymph.errors import NymphError
from nymph.flight.tables import Table
from nymph.flight.tickets import Ticket

from .rows import LENGTH, ids, shards, training_rows, words, write

TICKET = Ticket("t", seed=4, batch_rows=7)


def test_file_order_gives_the_parquet_rows(tmp_path: Path) -> None:
    table = Table(shards(tmp_path / "t", 130))
    got = pa.Table.from_batches(table.batches(replace(TICKET, shuffle=False)))
    assert got.equals(pa.concat_tables(pq.read_table(shard.path) for shard in table.shards))


def test_a_shuffled_row_keeps_all_its_columns(tmp_path: Path) -> None:
    table = Table(shards(tmp_path / "t", 130))
    got = pa.Table.from_batches(table.batches(TICKET))
    got.validate(full=True)
    assert got["id"].to_pylist() == TICKET.order(130).rows_at(np.arange(130)).tolist()
    assert got.sort_by("id").equals(pa.concat_tables(pq.read_table(shard.path) for shard in table.shards))


def test_batches_hold_the_rows_asked_for(tmp_path: Path) -> None:
    table = Table(shards(tmp_path / "t", 50))
    assert [batch.num_rows for batch in table.batches(TICKET)] == [7] * 7 + [1]
    assert [batch.num_rows for batch in table.batches(replace(TICKET, batch_rows=0))] == [50]


def test_columns_come_in_the_order_asked_for(tmp_path: Path) -> None:
    table = Table(shards(tmp_path / "t", 20))
    batch = next(table.batches(replace(TICKET, columns=("tokens", "id"))))
    assert batch.schema.names == ["tokens", "id"]
    assert batch.schema.field("tokens").type.list_size == LENGTH


def test_an_unknown_column_suggests_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(NymphError, match="did you mean 'tokens'"):
        Table(shards(tmp_path / "t", 5)).batches(replace(TICKET, columns=("token",)))


def test_the_cache_is_made_once(tmp_path: Path) -> None:
    folder = shards(tmp_path / "t", 20)
    before = Table(folder).cache_path.stat().st_ino
    assert Table(folder).cache_path.stat().st_ino == before


def test_a_replaced_shard_makes_another_table(tmp_path: Path) -> None:
    folder = shards(tmp_path / "t", 20)
    old = Table(folder)
    held = old.batches(TICKET)
    write(folder / "part-000.parquet", training_rows(20, 500))
    new = Table(folder)
    assert old.stale()
    assert new.fingerprint != old.fingerprint
    assert min(ids(new.batches(TICKET))) == 500
    assert max(ids(held)) == 19  # the old snapshot stays whole


def test_a_cut_cache_is_made_again(tmp_path: Path) -> None:
    folder = shards(tmp_path / "t", 20)
    path = Table(folder).cache_path
    os.truncate(path, path.stat().st_size // 2)
    assert sorted(ids(Table(folder).batches(TICKET))) == list(range(20))


def test_the_cache_of_older_content_goes(tmp_path: Path) -> None:
    folder = shards(tmp_path / "t", 20)
    old = Table(folder).cache_path
    write(folder / "part-000.parquet", training_rows(20, 500))
    new = Table(folder).cache_path
    assert not old.exists()
    assert new.exists()


def test_the_longest_unused_caches_go_when_there_are_too_many_bytes(tmp_path: Path) -> None:
    paths = [Table(shards(tmp_path / name, 20), tmp_path / "caches").cache_path for name in "abc"]
    size = paths[0].stat().st_size
    for age, path in enumerate(paths):
        os.utime(path, (1000 - age, 1000 - age))
    Table(shards(tmp_path / "d", 20), tmp_path / "caches", cache_limit=2 * size)
    assert [path.exists() for path in paths] == [True, False, False]


def test_a_table_of_words_is_streamed_in_file_order(tmp_path: Path) -> None:
    table = Table(write(tmp_path / "w.parquet", words(130)).parent)
    ticket = replace(TICKET, shuffle=False, start=33, stop=101)
    assert table.cached is None
    assert pa.Table.from_batches(table.batches(ticket)).equals(words(130).slice(33, 68))
    assert ids(table.batches(replace(ticket, rank=1, world=3))) == [p for p in range(33, 101) if p % 3 == 1]


def test_a_streamed_table_cannot_be_shuffled(tmp_path: Path) -> None:
    with pytest.raises(NymphError, match="shuffle=False"):
        Table(write(tmp_path / "w.parquet", words(9))).batches(TICKET)


def test_nulls_are_streamed_not_guessed(tmp_path: Path) -> None:
    rows = pa.table({"id": pa.array([1, None, 3])})
    table = Table(write(tmp_path / "n.parquet", rows))
    assert pa.Table.from_batches(table.batches(replace(TICKET, shuffle=False))).equals(rows)


def test_a_damaged_page_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "t" / "a.parquet", training_rows(400))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(NymphError, match=r"'a.parquet' is damaged"):
        Table(path.parent)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not parquet at all", b"PAR1" + b"\xff" * 8 + b"PAR1"])
def test_what_is_no_parquet_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(NymphError, match=r"'a.parquet' is not a readable Parquet file"):
        Table(tmp_path)


def test_shards_of_two_schemas_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", training_rows(3))
    write(tmp_path / "b.parquet", training_rows(3).drop_columns("audio"))
    with pytest.raises(NymphError, match=r"'b.parquet' differs: column 'audio'"):
        Table(tmp_path)


def test_an_empty_folder_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(NymphError, match=r"expected a folder with .parquet files"):
        Table(tmp_path)


def test_no_rows_are_a_table_too(tmp_path: Path) -> None:
    assert list(Table(write(tmp_path / "e.parquet", training_rows(0))).batches(TICKET)) == []
