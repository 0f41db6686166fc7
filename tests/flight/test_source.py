"""One interface, two places: local and remote sources give the same batches, and no row is lost or repeated."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.flight as fl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nymph.errors import NymphError
from nymph.flight.server import FlightServer
from nymph.flight.source import RowSource, open_source
from nymph.flight.stream import Patience
from nymph.flight.tickets import Ticket
from tests.ports import held_port

from .rows import ids, shards, training_rows, words, write

Serve = Callable[..., FlightServer]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shards(tmp_path_factory.mktemp("data") / "sequences" / "train", 101)


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    server = FlightServer({"sequences": folder.parent}, port=0)
    yield f"grpc://127.0.0.1:{server.port}/sequences/train"
    server.shutdown(5)


@pytest.fixture(scope="module")
def pair(folder: Path, address: str) -> tuple[RowSource, RowSource]:
    """The same 101 rows from the folder and from a server."""
    return open_source(str(folder)), open_source(address)


def tickets(rows: int = 101) -> st.SearchStrategy[Ticket]:
    edges = st.tuples(st.integers(0, rows), st.integers(0, rows)).map(sorted)
    worlds = st.integers(1, 8).flatmap(lambda world: st.tuples(st.integers(0, world - 1), st.just(world)))
    columns = st.sampled_from([None, ("id",), ("audio", "id"), ("tokens", "prosody", "id")])
    sizes = st.one_of(st.tuples(st.integers(0, 9), st.just(0)), st.tuples(st.just(0), st.integers(1, 90)))
    return st.builds(
        lambda edges, worlds, sizes, **rest: Ticket(
            "any",
            start=edges[0],
            stop=edges[1],
            rank=worlds[0],
            world=worlds[1],
            batch_rows=sizes[0],
            batch_tokens=0 if rest["columns"] and "tokens" not in rest["columns"] else sizes[1],
            **rest,
        ),
        edges,
        worlds,
        sizes,
        columns=columns,
        seed=st.integers(0, 5),
        epoch=st.integers(0, 5),
        shuffle=st.booleans(),
        block=st.sampled_from([1, 10]),
    )


@settings(max_examples=60, deadline=None)
@given(ticket=tickets())
def test_local_and_remote_give_the_same_batches(pair: tuple[RowSource, RowSource], ticket: Ticket) -> None:
    local, remote = (list(source.batches(ticket)) for source in pair)
    assert [batch.num_rows for batch in local] == [batch.num_rows for batch in remote]
    assert all(here.equals(there, check_metadata=True) for here, there in zip(local, remote, strict=True))


@settings(max_examples=20, deadline=None)
@given(ticket=tickets(), streams=st.integers(2, 4), prefetch=st.integers(1, 2))
def test_several_streams_give_the_same_batches(
    pair: tuple[RowSource, RowSource], address: str, ticket: Ticket, streams: int, prefetch: int
) -> None:
    several = open_source(address, streams=streams, prefetch=prefetch)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nymph.flight.pieces.TARGET_BYTES", 1000)
        local, remote = list(pair[0].batches(ticket)), list(several.batches(ticket))
    assert [batch.num_rows for batch in local] == [batch.num_rows for batch in remote]
    assert all(here.equals(there) for here, there in zip(local, remote, strict=True))


@settings(max_examples=30, deadline=None)
@given(world=st.integers(1, 8), seed=st.integers(0, 99), epoch=st.integers(0, 9))
def test_merged_ranks_are_the_single_rank_order(
    pair: tuple[RowSource, RowSource], world: int, seed: int, epoch: int
) -> None:
    local, remote = pair
    whole = Ticket("any", ("id",), seed, epoch, batch_rows=4)
    ranks = [ids(remote.batches(replace(whole, rank=rank, world=world))) for rank in range(world)]
    merged = [ranks[position % world][position // world] for position in range(101)]
    assert merged == ids(local.batches(whole))
    assert sorted(merged) == list(range(101))


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 101), max_size=6).map(sorted), worlds=st.lists(st.integers(1, 8), min_size=7))
def test_an_interrupted_epoch_continues_on_any_world(
    pair: tuple[RowSource, RowSource], cuts: list[int], worlds: list[int]
) -> None:
    edges = [0, *cuts, 101]
    rows = []
    for start, stop, world in zip(edges[:-1], edges[1:], worlds, strict=False):
        for rank in range(world):
            rows += ids(pair[1].batches(Ticket("any", ("id",), 3, 1, start, stop, rank, world, 5)))
    assert sorted(rows) == list(range(101))


def test_both_tell_the_same_about_the_table(pair: tuple[RowSource, RowSource]) -> None:
    local, remote = pair
    assert local.schema.equals(remote.schema, check_metadata=True)
    assert (local.rows, local.fingerprint) == (remote.rows, remote.fingerprint)


def test_a_table_of_words_comes_in_file_order(tmp_path: Path, serve: Serve) -> None:
    folder = write(tmp_path / "words" / "a.parquet", words(1000)).parent
    server = serve({"words": folder})
    remote = open_source(f"grpc://127.0.0.1:{server.port}/words")
    ticket = Ticket("any", shuffle=False, start=10, batch_rows=100)
    assert pa.Table.from_batches(remote.batches(ticket)).equals(words(1000).slice(10))


def test_an_unread_stream_ends_with_its_source(pair: tuple[RowSource, RowSource]) -> None:
    stream = pair[1].batches(Ticket("any", batch_rows=2))
    next(stream)
    pair[1].close()
    assert len(list(stream)) <= 51


def test_waiting_for_a_server_is_told_once(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nymph.flight.stream._UNTOLD_SECONDS", 0)
    patience = Patience(60)
    for _ in range(3):
        patience.pause("grpc://box:1", fl.FlightUnavailableError("down"))
    assert [record.message for record in caplog.records] == [
        "grpc://box:1 does not answer (down): trying again for 60 s"
    ]


def test_a_server_that_is_down_is_named_after_the_patience() -> None:
    with held_port() as port, pytest.raises(NymphError, match=rf"grpc://127.0.0.1:{port}: no answer for 0.3 s"):
        open_source(f"grpc://127.0.0.1:{port}/t", patience=0.3)


def test_an_unknown_table_is_an_error_at_once(pair: tuple[RowSource, RowSource], tmp_path: Path, serve: Serve) -> None:
    server = serve({"train": shards(tmp_path / "t", 3)})
    with pytest.raises(NymphError, match="no table 'trian'; did you mean 'train'"):
        open_source(f"grpc://127.0.0.1:{server.port}/trian")


def test_a_table_that_changes_is_never_mixed(tmp_path: Path, serve: Serve) -> None:
    folder = shards(tmp_path / "t", 50)
    server = serve({"t": folder})
    source = open_source(f"grpc://127.0.0.1:{server.port}/t")
    write(folder / "part-000.parquet", training_rows(50, 900))
    server.refresh()
    with pytest.raises(NymphError, match="changed: expected fingerprint"):
        list(source.batches(Ticket("any")))


@pytest.mark.parametrize("location", ["http://h:1/t", "grpc://host/t", "grpc://:9090/t", "grpc://h:99999/t"])
def test_a_wrong_address_shows_the_right_form(location: str) -> None:
    with pytest.raises(NymphError, match=r"grpc://"):
        open_source(location)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(NymphError, match=r"expected a folder of .parquet files"):
        open_source(str(tmp_path / "none"))


@pytest.mark.parametrize("token", ["", "a b", "ü", "a\nb", "x" * 5000])
def test_a_token_that_would_abort_the_process_is_refused(token: str) -> None:
    with pytest.raises(NymphError, match="visible ASCII"):
        open_source("grpc://127.0.0.1:1/t", token=token)
