from collections import Counter
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from nymph.errors import NymphError
from nymph.flight.server import FlightServer
from nymph.flight.source import open_source
from nymph.sequences.schema import TOKENIZER_KEY
from nymph.training.__main__ import job_of, parser
from nymph.training.data import Lanes, step_rows
from nymph.training.several import open_rows

from .conftest import write_rows


def rows_by_epoch(locations: tuple[str, ...], lanes: Lanes | None = None) -> list[Counter[str]]:
    """Rows of the first two epochs of 15, recognised by their mel patches."""
    source = open_rows(locations)
    stream = islice(step_rows(source, 3, 0, batch_rows=5, lanes=lanes), 6)
    steps = [[str(row) for piece in pieces for row in piece["audio"]] for _, _, pieces in stream]
    return [Counter(row for step in steps[epoch * 3 : epoch * 3 + 3] for row in step) for epoch in range(2)]


def test_every_row_of_every_table_comes_once_an_epoch(tmp_path: Path) -> None:
    locations = write_rows(tmp_path / "a", 9, seed=1), write_rows(tmp_path / "b", 6, seed=2)
    first, second = rows_by_epoch(locations)
    assert first == second
    assert set(first.values()) == {1}
    assert len(first) == 15


def test_ranks_share_several_tables(tmp_path: Path) -> None:
    locations = write_rows(tmp_path / "a", 9, seed=1), write_rows(tmp_path / "b", 6, seed=2)
    ranks = [rows_by_epoch(locations, Lanes.of(rank, 2))[0] for rank in range(2)]
    assert ranks[0] + ranks[1] == rows_by_epoch(locations)[0]


def test_weights_say_how_often_rows_come(tmp_path: Path) -> None:
    locations = write_rows(tmp_path / "a", 9, seed=1), write_rows(tmp_path / "b", 6, seed=2)
    assert open_rows(locations, [1, 2.5]).rows == 9 + 15


def test_rows_of_two_tokenizers_are_not_mixed(tmp_path: Path) -> None:
    locations = write_rows(tmp_path / "a", 4), write_rows(tmp_path / "b", 4)
    (shard,) = (tmp_path / "b").glob("*.parquet")
    table = pq.read_table(shard)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, TOKENIZER_KEY: b"another"}), shard)
    with pytest.raises(NymphError, match="different tokenizers cannot be mixed"):
        open_rows(locations)


def test_an_empty_list_is_a_user_error() -> None:
    with pytest.raises(NymphError, match="got an empty list"):
        open_rows(())


def test_the_seeds_command_line_names_tables_of_a_server(tmp_path: Path) -> None:
    write_rows(tmp_path / "tables" / "a", 4), write_rows(tmp_path / "tables" / "b", 4)
    with FlightServer({"rows": tmp_path / "tables"}, port=0) as server:
        files = ["rows/a.parquet", "rows/b.parquet"]
        options = parser().parse_args(
            ["--host", "127.0.0.1", "--port", str(server.port), "--file_list", *files, "--weights", "1", "2"]
        )
        job = job_of(options)
        assert job.train_rows == tuple(f"grpc://127.0.0.1:{server.port}/rows/{name}" for name in "ab")
        assert job.model.context_length == open_source(job.train_rows[0]).schema.field("tokens").type.list_size
        assert open_rows(job.train_rows, job.train_weights).rows == 4 + 8
