"""F5 to F7, F10, F12, F13: strangers at either end, and rotten files."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.flight as fl
import pyarrow.parquet as pq
import pytest

from nymph.errors import NymphError
from nymph.flight.source import open_source
from nymph.flight.tables import Table
from nymph.flight.tickets import Ticket

from .flight_process import ServerProcess, big_rows, wait_until
from .fuzz import mutated
from .watch import untouched

pytestmark = pytest.mark.faults
REFUSED = (fl.FlightError, pa.ArrowException, OSError)
GOOD = Ticket("data/t", shuffle=False, stop=1).encode()
NAMES = [
    "../secret",
    "data/../secret",
    "data/t/../../secret",
    "/etc",
    "data//t",
    "data/./t",
    "data\\t",
    "data/%2e%2e/secret",
    "DATA/t",
    "data/link",
    "data/link.parquet",
    "file:///etc",
    "data_evil",
    "data",
    "~",
    "data/.arrow",
    "data/t/.arrow",
    "secret",
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/t is served; beside it lie a secret, a sibling with the same beginning, and links that lead to them."""
    home = tmp_path_factory.mktemp("home")
    Table(big_rows(home / "data" / "t", 20))  # cached, so that no stranger is told to wait
    big_rows(home / "secret", 20)
    big_rows(home / "data_evil", 20)
    (home / "data" / "link").symlink_to(home / "secret")
    (home / "data" / "link.parquet").symlink_to(home / "secret" / "a.parquet")
    return home


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[ServerProcess]:
    with ServerProcess({"data": home / "data"}, writable=["data"]) as process:
        yield process


def client_of(server: ServerProcess) -> fl.FlightClient:
    return fl.connect(server.address)


def test_nine_thousand_fuzzed_requests_leave_the_server_as_it_was(server: ServerProcess, home: Path) -> None:
    client, generator = client_of(server), random.Random(3)
    open_source(f"{server.address}/data/t")  # a plain client is told to wait for the table, and does not
    before = server.rss
    with untouched([home / "secret", home / "data_evil"]):
        for number in range(9000):
            ask(client, mutated(generator, GOOD), number % 4)
    assert client.do_get(fl.Ticket(GOOD)).read_all().num_rows == 1
    assert server.process.poll() is None
    assert server.rss - before < 64 * 2**20


@pytest.mark.parametrize("size", [70_000, 2**20, 100 * 2**20])
def test_an_oversized_request_is_refused_and_its_memory_comes_back(server: ServerProcess, size: int) -> None:
    client, before = client_of(server), server.rss
    for call in (
        lambda: client.do_get(fl.Ticket(b"x" * size)).read_all(),
        lambda: client.get_flight_info(fl.FlightDescriptor.for_command(b"x" * size)),
        lambda: list(client.do_action(fl.Action("health", b"x" * size))),
    ):
        with pytest.raises(fl.FlightServerError, match="at most 65536 bytes"):
            call()
    wait_until(lambda: server.rss - before < 64 * 2**20)


@pytest.mark.parametrize("name", [*NAMES, "", "data/\0t", "data/t\n"])
def test_no_name_leads_out_of_the_roots(server: ServerProcess, home: Path, name: str) -> None:
    client = client_of(server)
    with untouched([home / "secret", home / "data_evil"]):
        for call in (
            lambda: client.get_flight_info(fl.FlightDescriptor.for_path(name)),
            lambda: client.get_flight_info(fl.FlightDescriptor.for_command(name.encode())),
            lambda: client.do_get(fl.Ticket(b'{"table": "%s", "shuffle": false}' % name.encode())).read_all(),
        ):
            with pytest.raises(REFUSED):
                call()


class Hostile(fl.FlightServerBase):
    """Says it has ten rows of `honest`, and sends `sent`."""

    def __init__(self, honest: pa.Schema, sent: list[pa.RecordBatch]) -> None:
        super().__init__("grpc://127.0.0.1:0")
        self.honest, self.sent = honest, sent

    def get_flight_info(self, context: Any, descriptor: fl.FlightDescriptor) -> fl.FlightInfo:
        return fl.FlightInfo(self.honest, descriptor, [], 10, 80, app_metadata=b"f")

    def do_get(self, context: Any, ticket: fl.Ticket) -> fl.GeneratorStream:
        return fl.GeneratorStream(self.sent[0].schema, iter(self.sent))


def received(honest: pa.Schema, sent: list[pa.RecordBatch], patience: float = 60) -> list[pa.RecordBatch]:
    hostile = Hostile(honest, sent)
    try:
        source = open_source(f"grpc://127.0.0.1:{hostile.port}/t", patience=patience)
        return list(source.batches(Ticket("any", shuffle=False)))
    finally:
        hostile.shutdown()


def test_bad_offsets_are_an_error_not_a_crash() -> None:
    offsets = pa.py_buffer(np.array([0, *[2**30] * 9, 4], np.int32))
    words = pa.Array.from_buffers(pa.string(), 10, [None, offsets, pa.py_buffer(b"abcd")])
    batch = pa.RecordBatch.from_arrays([words], ["word"])
    with pytest.raises(NymphError, match="damaged batch"):
        received(batch.schema, [batch])


def test_another_schema_is_an_error() -> None:
    with pytest.raises(NymphError, match="got another schema"):
        received(pa.schema({"a": pa.int64()}), [pa.record_batch({"a": [1.0]})])


def test_a_stream_that_ends_early_is_asked_again_and_then_an_error() -> None:
    with pytest.raises(NymphError, match="ended early"):
        received(pa.schema({"a": pa.int64()}), [pa.record_batch({"a": pa.array([], pa.int64())})], patience=0.3)


def test_more_rows_than_there_are_is_an_error() -> None:
    with pytest.raises(NymphError, match="expected 10 rows, got 11"):
        received(pa.schema({"a": pa.int64()}), [pa.record_batch({"a": list(range(11))})])


def test_every_flipped_bit_of_a_page_is_found(tmp_path: Path) -> None:
    path = big_rows(tmp_path / "t", 20, 256) / "a.parquet"
    clean, rows = path.read_bytes(), pq.read_table(path)
    footer = len(clean) - 8 - int.from_bytes(clean[-8:-4], "little")
    generator, silent = random.Random(4), 0
    for _ in range(200):
        data = bytearray(clean)
        data[generator.randrange(4, footer)] ^= 1 << generator.randrange(8)
        path.write_bytes(data)
        silent += not found(path, rows)
    assert silent == 0


@pytest.mark.parametrize("keep", [0, 3, 4, 100, 2000, -1, -4, -8, -100])
def test_a_cut_file_is_found(tmp_path: Path, keep: int) -> None:
    path = big_rows(tmp_path / "t", 20, 256) / "a.parquet"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(NymphError, match=r"a\.parquet"):
        Table(path.parent)


def found(path: Path, rows: pa.Table) -> bool:
    """Whether the damage is an error, or hit nothing that is read."""
    try:
        table = Table(path.parent)
    except NymphError:
        return True
    return pa.Table.from_batches(table.batches(Ticket("t", shuffle=False))).equals(rows)


def ask(client: fl.FlightClient, data: bytes, kind: int) -> None:
    try:
        if kind == 0:
            client.do_get(fl.Ticket(data)).read_all()
        elif kind == 1:
            client.get_flight_info(fl.FlightDescriptor.for_command(data))
        elif kind == 2:
            client.get_flight_info(fl.FlightDescriptor.for_path(*data[:40].split(b"/")))
        else:
            list(client.do_action(fl.Action(data[:20].decode("latin-1").encode("ascii", "ignore").decode(), data)))
    except REFUSED as error:
        if "Traceback" in str(error):
            raise
