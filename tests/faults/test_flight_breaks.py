"""F1 to F3, F11: servers that die or freeze, and tables that change under a reader."""

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nymph.errors import NymphError
from nymph.flight.order import Order
from nymph.flight.source import open_source
from nymph.flight.stream import Patience
from nymph.flight.tables import Table
from nymph.flight.tickets import Ticket
from tests.flight.rows import words, write

from .flight_process import ServerProcess, big_rows

pytestmark = pytest.mark.faults
ROWS = 8000
TICKET = Ticket("any", seed=5, batch_rows=50)
SLOW = {"prefetch": 1, "stall": 60.0}
"""A reader whom no slow machine makes give up; `hurry` comes when the fault does."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = big_rows(tmp_path_factory.mktemp("data") / "t", ROWS)
    Table(folder)  # makes the cache, so that no short patience below ends while a slow machine makes it
    return folder


@pytest.fixture
def server(folder: Path) -> Iterator[ServerProcess]:
    with ServerProcess({"t": folder}) as process:
        yield process


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_kills_in_one_epoch_of_four_ranks_lose_and_repeat_nothing(server: ServerProcess) -> None:
    kills = sorted(np.random.default_rng(1).integers(0, ROWS - 1500, 20).tolist())
    ranks = [replace(TICKET, rank=rank, world=4) for rank in range(4)]
    streams = [open_source(f"{server.address}/t", prefetch=1, patience=300).batches(ticket) for ticket in ranks]
    rows: list[list[int]] = [[] for _ in ranks]
    for batches in zip(*streams, strict=True):
        for mine, batch in zip(rows, batches, strict=True):
            mine += batch["id"].to_pylist()
        while kills and sum(len(mine) for mine in rows) >= kills[0]:
            kills.pop(0)
            server.restart()
    order = Order(ROWS, 5).rows_at(np.arange(ROWS))
    assert [order[rank::4].tolist() for rank in range(4)] == rows
    assert not kills


def test_a_server_gone_for_good_is_an_error_with_its_address(server: ServerProcess) -> None:
    stream = open_source(f"{server.address}/t", **SLOW, patience=1).batches(TICKET)
    next(stream)
    server.signal(signal.SIGKILL)
    with pytest.raises(NymphError, match=rf"{server.address}: no answer for 1 s"):
        list(stream)


def test_a_frozen_server_is_noticed(server: ServerProcess) -> None:
    source = open_source(f"{server.address}/t", **SLOW, patience=4)
    stream = source.batches(TICKET)
    next(stream)
    server.signal(signal.SIGSTOP)
    hurry(source)
    with pytest.raises(NymphError, match="no answer for 4 s"):
        list(stream)


def test_a_server_that_thaws_once_it_was_noticed_goes_on_in_the_same_row(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause = Patience.pause

    def thaw(patience: Patience, address: str, error: Exception) -> float:
        server.signal(signal.SIGCONT)
        hurry(source, SLOW["stall"])
        return pause(patience, address, error)

    monkeypatch.setattr(Patience, "pause", thaw)
    source = open_source(f"{server.address}/t", **SLOW, patience=300)
    stream = source.batches(TICKET)
    rows = next(stream)["id"].to_pylist()
    server.signal(signal.SIGSTOP)
    hurry(source)
    rows += [row for batch in stream for row in batch["id"].to_pylist()]
    assert rows == Order(ROWS, 5).rows_at(np.arange(ROWS)).tolist()


def test_a_table_replaced_under_a_stream_is_served_to_its_end(tmp_path: Path) -> None:
    folder = big_rows(tmp_path / "t", 2000)
    with ServerProcess({"t": folder}) as server:
        stream = open_source(f"{server.address}/t", **SLOW).batches(TICKET)
        rows = next(stream)["id"].to_pylist()
        new = pq.read_table(folder / "a.parquet").slice(0, 10)
        pq.write_table(new, tmp_path / "b")
        (tmp_path / "b").rename(folder / "a.parquet")
        rows += [row for batch in stream for row in batch["id"].to_pylist()]
        assert sorted(rows) == list(range(2000))


@pytest.mark.parametrize("other", [words(300), words(300).rename_columns(["id", "text"]), words(300).select(["id"])])
def test_a_streamed_table_replaced_under_a_stream_is_an_error_never_a_mix(
    tmp_path: Path, other: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nymph.flight.pieces.TARGET_BYTES", 1000)  # smaller than the table, so that it is read in turns
    table = Table(write(tmp_path / "t" / "a.parquet", words(200)).parent)
    stream = table.batches(Ticket("t", shuffle=False, batch_rows=40))
    assert next(stream).num_rows == 40
    write(tmp_path / "b", other).rename(tmp_path / "t" / "a.parquet")
    with pytest.raises(NymphError, match=r"'a.parquet' was replaced while it was read"):
        list(stream)


def hurry(source: Any, stall: float = 1.0) -> None:
    """From now on `source` notices a silence of `stall` seconds."""
    source._clients.options = replace(source._clients.options, stall=stall)
