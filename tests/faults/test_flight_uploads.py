"""F14 and uploads by strangers: a reader sees the old shard or the new one, and nothing else is ever written."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.flight as fl
import pyarrow.parquet as pq
import pytest

from nymph.files import PART
from nymph.flight.server import FlightServer
from nymph.flight.source import open_source
from nymph.flight.tickets import Ticket

from . import http2, uploaders
from .flight_process import ServerProcess, wait_until
from .fuzz import mutated
from .small_disk import small_disk
from .watch import untouched

pytestmark = pytest.mark.faults
OLD = pa.table({"a": np.arange(50)})
BOMBS = {
    "nulls": pa.record_batch({"a": pa.nulls(2**30)}),
    "lists of nulls": pa.record_batch({"a": pa.FixedSizeListArray.from_arrays(pa.nulls(2**31 - 10), 2**31 - 10)}),
    "empty lists": pa.record_batch({"a": pa.array([[]], pa.list_(pa.int8(), 0))}),
    "one value, many indices": pa.record_batch({"a": pa.array(["x" * 2**20]).dictionary_encode()}),
    "one long run": pa.record_batch({"a": pa.RunEndEncodedArray.from_arrays(pa.array([2**40]), pa.array([1]))}),
    "one value, many views": pa.record_batch({"a": pa.array(["x" * 2**20], pa.string_view())}),
    "no columns": pa.RecordBatch.from_arrays([], []),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The only folder that may be written, with one shard."""
    (tmp_path / "in" / "t").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    pq.write_table(OLD, tmp_path / "in" / "t" / "a.parquet", write_page_checksum=True)
    return tmp_path / "in"


@contextmanager
def serving(root: Path) -> Iterator[FlightServer]:
    server = FlightServer({"in": root}, port=0, writable=["in"])
    try:
        yield server
    finally:
        server.shutdown(5)


@pytest.fixture
def server(root: Path) -> Iterator[FlightServer]:
    with serving(root) as server:
        yield server


def test_fifty_killed_writers_leave_the_old_shard_and_its_readers_alone(server: FlightServer, root: Path) -> None:
    reader = open_source(f"grpc://127.0.0.1:{server.port}/in/t").batches(Ticket("any", shuffle=False, batch_rows=1))
    rows = []
    with forker_of(server.port) as forker:
        for number in range(50):
            kill_a_writer(forker, batches=number % 7, shard=root / "t" / "a.parquet")
            assert shards_in(root) == {"a.parquet": OLD}
            rows.append(next(reader)["a"][0].as_py())
    assert rows == list(range(50))
    put(server, pa.Table.from_batches([uploaders.BATCH]))
    assert shards_in(root) == {"a.parquet": pa.Table.from_batches([uploaders.BATCH])}


@pytest.mark.parametrize("batch", BOMBS.values(), ids=BOMBS)
def test_few_bytes_that_stand_for_terabytes_are_refused(
    server: FlightServer, root: Path, batch: pa.RecordBatch
) -> None:
    with pytest.raises(fl.FlightServerError, match="expected"):
        put(server, batch, "in/new/b.parquet")
    assert shards_in(root) == {"a.parquet": OLD}


def test_an_upload_through_a_link_is_refused(server: FlightServer, root: Path) -> None:
    (root / "link").symlink_to(root.parent / "secret")
    with untouched([root.parent / "secret"]), pytest.raises(fl.FlightServerError, match="leads through a link"):
        put(server, OLD, "in/link/x.parquet")


def test_a_full_disk_refuses_an_upload_and_keeps_what_was_there(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2) as disk, serving(disk) as server:
        put(server, OLD)
        with pytest.raises(fl.FlightServerError, match="the disk is full"):
            put(server, pa.table({"a": np.random.default_rng(0).integers(0, 2**62, 10**6)}))
        assert shards_in(disk) == {"a.parquet": OLD}


def test_a_thousand_fuzzed_uploads_write_whole_shards_or_nothing(root: Path) -> None:
    generator = random.Random(6)
    with ServerProcess({"in": root}, writable=["in"]) as server, untouched([root.parent / "secret"]):
        requests = [http2.request(http2.call(b"DoPut"), fuzzed_upload(generator)) for _ in range(1000)]
        before = server.rss
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda sent: http2.answer(server.port, sent), requests))
        wait_until(server.healthy)
        assert server.rss - before < 64 * 2**20
        wait_until(lambda: not any(root.rglob(f"{PART}*")))  # no upload is under way any more
        assert set(shards_in(root)) >= {"a.parquet", "b.parquet"}
        assert {path.name for path in root.parent.iterdir()} == {"in", "secret"}


@contextmanager
def forker_of(port: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, uploaders.__file__, str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as forker:
        try:
            yield forker
        finally:
            forker.kill()


def kill_a_writer(forker: subprocess.Popen[str], batches: int, shard: Path) -> None:
    """Start a writer, and kill it when it has sent so many batches and the server writes; wait for the server's end."""
    assert forker.stdin is not None
    assert forker.stdout is not None
    print(batches, file=forker.stdin, flush=True)
    writer = int(forker.stdout.readline())
    wait_until(lambda: being_written(shard))
    os.kill(writer, signal.SIGKILL)
    assert forker.stdout.readline() == "dead\n"
    wait_until(lambda: not being_written(shard))


def being_written(shard: Path) -> bool:
    return any(shard.parent.glob(f"{PART}*"))


def shards_in(root: Path) -> dict[str, pa.Table]:
    """Every file under `root` but the caches, read whole."""
    files = [path for path in root.rglob("*") if path.is_file() and path.parent.name != ".arrow"]
    return {path.name: pq.read_table(path, page_checksum_verification=True) for path in files}


def put(server: FlightServer, rows: pa.Table | pa.RecordBatch, name: str = "in/t/a.parquet") -> None:
    descriptor = fl.FlightDescriptor.for_path(*name.split("/"))
    writer, _ = fl.connect(f"grpc://127.0.0.1:{server.port}").do_put(descriptor, rows.schema)
    try:
        writer.write(rows)
    finally:
        writer.close()


def fuzzed_upload(generator: random.Random) -> list[bytes]:
    """The messages of an upload (FlightData in protobuf), one part of one of them mutated."""
    name = [b"in", b"t", generator.choice([b"a.parquet", b"b.parquet"])]
    batch = OLD.to_batches()[0]
    parts = [*name, *ipc_parts(batch.schema.serialize()), *ipc_parts(batch.serialize())]
    victim = generator.randrange(len(parts))
    parts[victim] = mutated(generator, parts[victim])
    root, folder, file, schema, _, header, body = parts
    path = b"\x08\x01" + b"".join(field(3, part) for part in (root, folder, file))
    return [field(1, path) + field(2, schema), field(2, header) + field(1000, body)]


def ipc_parts(message: pa.Buffer) -> tuple[bytes, bytes]:
    """Metadata and body of an encapsulated IPC message."""
    data = message.to_pybytes()
    end = 8 + int.from_bytes(data[4:8], "little")
    return data[8:end], data[end:]


def field(number: int, data: bytes) -> bytes:
    """A field of bytes in protobuf."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    low, high = value % 128, value // 128
    return bytes([low | 128]) + varint(high) if high else bytes([low])
