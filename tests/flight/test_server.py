"""What any Flight client may do, seen with plain pyarrow, and what none may."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.flight as fl
import pyarrow.parquet as pq
import pytest

from nymph.errors import NymphError
from nymph.flight.auth import Token
from nymph.flight.server import FlightServer, Limits
from nymph.flight.source import open_source
from nymph.flight.tickets import Ticket

from .rows import ids, shards, training_rows, words, write

Serve = Callable[..., FlightServer]


def client_of(server: FlightServer) -> fl.FlightClient:
    return fl.connect(f"grpc://127.0.0.1:{server.port}")


def bearer(token: str) -> fl.FlightCallOptions:
    return fl.FlightCallOptions(headers=[(b"authorization", f"Bearer {token}".encode())])


def act(client: fl.FlightClient, name: str, options: Any = None) -> dict[str, Any]:
    return json.loads(next(client.do_action(fl.Action(name, b""), options)).body.to_pybytes())


def test_plain_pyarrow_reads_a_table_through_its_endpoints(tmp_path: Path, serve: Serve) -> None:
    client = client_of(serve({"data": shards(tmp_path / "seq" / "train", 101).parent}))
    info = client.get_flight_info(fl.FlightDescriptor.for_path("data", "train"))
    rows = [batch.data for endpoint in info.endpoints for batch in client.do_get(endpoint.ticket)]
    assert info.total_records == 101
    assert ids(rows) == list(range(101))


def test_endpoints_of_a_large_table_cover_it_once(
    tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nymph.flight.server._ENDPOINT_BYTES", 1000)
    client = client_of(serve({"t": shards(tmp_path / "t", 101)}))
    info = client.get_flight_info(fl.FlightDescriptor.for_path("t"))
    rows = [batch.data for endpoint in info.endpoints for batch in client.do_get(endpoint.ticket)]
    assert len(info.endpoints) > 3
    assert ids(rows) == list(range(101))


def test_the_listing_has_folders_and_a_file_is_reached_by_name(tmp_path: Path, serve: Serve) -> None:
    shards(tmp_path / "a" / "b", 20)
    write(tmp_path / "c" / "w.parquet", words(5))
    client = client_of(serve({"data": tmp_path}))
    assert [b"/".join(info.descriptor.path) for info in client.list_flights()] == [b"data/a/b", b"data/c"]
    assert client.get_flight_info(fl.FlightDescriptor.for_path("data/c/w.parquet")).total_records == 5


def test_hidden_folders_and_files_are_no_tables(tmp_path: Path, serve: Serve) -> None:
    for hidden in (".old", "_origins", "t/_inside"):
        shards(tmp_path / hidden, 5)
    write(shards(tmp_path / "t", 5) / "_b.parquet", words(5))
    server = serve({"data": tmp_path})
    assert [info.descriptor.path for info in client_of(server).list_flights()] == [[b"data", b"t"]]
    assert open_source(f"grpc://127.0.0.1:{server.port}/data/t").rows == 5
    for name in ("_origins", "t/_b.parquet"):
        with pytest.raises(NymphError, match="there is no table"):
            open_source(f"grpc://127.0.0.1:{server.port}/data/{name}")


def test_a_damaged_table_is_a_clear_error_and_the_rest_is_served(tmp_path: Path, serve: Serve) -> None:
    shards(tmp_path / "good", 20)
    bad = write(tmp_path / "bad" / "a.parquet", training_rows(400))
    bad.write_bytes(bad.read_bytes()[: bad.stat().st_size // 2])
    server = serve({"data": tmp_path})
    address = f"grpc://127.0.0.1:{server.port}/data"
    with pytest.raises(NymphError, match=r"'a.parquet' is not a readable Parquet file") as error:
        open_source(f"{address}/bad")
    assert str(tmp_path) not in str(error.value)
    assert len(ids(open_source(f"{address}/good").batches(Ticket("any")))) == 20
    assert [info.descriptor.path for info in client_of(server).list_flights()] == [[b"data", b"good"]]


def test_a_new_table_is_noticed(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "data").mkdir()
    server = serve({"data": tmp_path / "data"})
    shards(tmp_path / "data" / "late", 7)
    assert act(client_of(server), "refresh")["tables"] == ["data/late"]
    assert open_source(f"grpc://127.0.0.1:{server.port}/data/late").rows == 7


def test_health_and_stats_count_what_was_served(tmp_path: Path, serve: Serve) -> None:
    server = serve({"t": shards(tmp_path / "t", 20)})
    list(open_source(f"grpc://127.0.0.1:{server.port}/t").batches(Ticket("any")))
    client = client_of(server)
    assert act(client, "health") == {"status": "serving", "tables": ["t"]}
    stats = act(client, "stats")
    assert stats["rows"] == 20
    assert {call["method"] for call in stats["calls"]} >= {"do_get", "get_flight_info"}


def test_an_upload_becomes_a_table(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "in").mkdir()
    server = serve({"in": tmp_path / "in"}, writable=["in"])
    writer, _ = client_of(server).do_put(fl.FlightDescriptor.for_path("in", "new", "a.parquet"), words(3).schema)
    writer.write_table(words(3))
    writer.close()
    assert pq.read_table(tmp_path / "in" / "new" / "a.parquet", page_checksum_verification=True).equals(words(3))


@pytest.mark.parametrize(
    "path", ["in/../x.parquet", "in/a.txt", "in/.a.parquet", "/etc/x.parquet", "out/a.parquet", "in/a\0.parquet", "in"]
)
def test_an_upload_elsewhere_is_refused(tmp_path: Path, serve: Serve, path: str) -> None:
    (tmp_path / "in").mkdir()
    server = serve({"in": tmp_path / "in"}, writable=["in"])
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(fl.FlightServerError):
        put(client_of(server), path)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_upload_past_the_limit_leaves_nothing(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "in").mkdir()
    server = serve({"in": tmp_path / "in"}, writable=["in"], limits=Limits(upload_bytes=1000))
    with pytest.raises(fl.FlightServerError, match="at most 1000 bytes"):
        put(client_of(server), "in/a.parquet", 5000)
    assert list((tmp_path / "in").iterdir()) == []


def test_a_message_past_the_limit_is_refused(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "in").mkdir()
    server = serve({"in": tmp_path / "in"}, writable=["in"], limits=Limits(message_bytes=1000))
    with pytest.raises(fl.FlightServerError, match="messages of at most 1000 bytes"):
        put(client_of(server), "in/a.parquet", 5000)
    assert list((tmp_path / "in").iterdir()) == []


def test_streams_past_the_limit_wait_for_a_free_one(tmp_path: Path, serve: Serve) -> None:
    server = serve({"t": shards(tmp_path / "t", 20)}, limits=Limits(streams=1))
    address = f"grpc://127.0.0.1:{server.port}/t"
    server.slots.acquire()
    with pytest.raises(NymphError, match="all 1 streams are taken"):
        list(open_source(address, patience=0.2).batches(Ticket("any")))
    server.slots.release()
    assert len(ids(open_source(address).batches(Ticket("any")))) == 20


@pytest.mark.parametrize("ticket", [b"", b"{}", b"\xff", b'{"table": "none"}', b" " * 70_000])
def test_a_wrong_ticket_is_refused_without_a_traceback(tmp_path: Path, serve: Serve, ticket: bytes) -> None:
    client = client_of(serve({"t": shards(tmp_path / "t", 5)}))
    with pytest.raises(fl.FlightServerError) as error:
        client.do_get(fl.Ticket(ticket)).read_all()
    assert "Traceback" not in str(error.value)
    assert str(tmp_path) not in str(error.value)


@pytest.mark.parametrize("options", [None, bearer("wrong"), bearer("")])
def test_without_the_token_no_call_is_answered(tmp_path: Path, serve: Serve, options: Any) -> None:
    client = client_of(serve({"t": shards(tmp_path / "t", 5)}, token="secret"))
    calls: list[Callable[[], Any]] = [
        lambda: list(client.list_flights(options=options)),
        lambda: client.get_flight_info(fl.FlightDescriptor.for_path("t"), options),
        lambda: client.get_schema(fl.FlightDescriptor.for_path("t"), options),
        lambda: client.do_get(fl.Ticket(Ticket("t").encode()), options).read_all(),
        lambda: client.list_actions(options),
        lambda: act(client, "health", options),
        lambda: put(client, "t/a.parquet", options=options),
    ]
    for call in calls:
        with pytest.raises((fl.FlightUnauthenticatedError, OSError), match="with a valid token"):  # get_schema: OSError
            call()


def test_a_token_may_do_what_its_scopes_say(tmp_path: Path, serve: Serve) -> None:
    tokens = [Token.of("reader", ["read"]), Token.of("writer", ["write"]), Token.of("old", expires=1.0)]
    client = client_of(serve({"t": shards(tmp_path / "t", 5)}, tokens=tokens, writable=["t"]))
    assert act(client, "health", bearer("reader"))["status"] == "serving"
    for call in (
        lambda: act(client, "refresh", bearer("reader")),
        lambda: act(client, "health", bearer("writer")),
        lambda: put(client, "t/b.parquet", options=bearer("reader")),
    ):
        with pytest.raises(fl.FlightUnauthorizedError):
            call()
    with pytest.raises(fl.FlightUnauthenticatedError):
        act(client, "health", bearer("old"))


def test_the_client_sends_its_token(tmp_path: Path, serve: Serve) -> None:
    server = serve({"t": shards(tmp_path / "t", 5)}, token="secret")
    (tmp_path / "token").write_text("secret\n")
    address = f"grpc://127.0.0.1:{server.port}/t"
    assert len(ids(open_source(address, token_file=str(tmp_path / "token")).batches(Ticket("any")))) == 5
    with pytest.raises(NymphError, match="the token was refused"):
        open_source(address, token="other")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_the_network_is_refused_without_tls_and_token(tmp_path: Path, host: str) -> None:
    with pytest.raises(NymphError, match="without TLS and a token"):
        FlightServer({"t": shards(tmp_path / "t", 5)}, host=host, port=0)


def test_a_taken_port_is_one_clear_line(tmp_path: Path, serve: Serve) -> None:
    server = serve({"t": shards(tmp_path / "t", 5)})
    with pytest.raises(NymphError, match=rf"cannot listen on 127.0.0.1:{server.port}"):
        FlightServer({"t": tmp_path / "t"}, port=server.port)


def put(client: fl.FlightClient, path: str, rows: int = 3, options: Any = None) -> None:
    writer, _ = client.do_put(fl.FlightDescriptor.for_path(*path.split("/")), words(rows).schema, options)
    try:
        writer.write_table(words(rows))
    finally:
        writer.close()
