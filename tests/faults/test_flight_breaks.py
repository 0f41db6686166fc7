"""F1 to F4, F11, F14: servers and clients that die, freeze, leave or never read."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.flight as fl
import pyarrow.parquet as pq
import pytest

from nymph.errors import NymphError
from nymph.flight.order import Order
from nymph.flight.server import FlightServer
from nymph.flight.source import open_source
from nymph.flight.tickets import Ticket

from .flight_process import ServerProcess, big_rows, wait_until

pytestmark = pytest.mark.faults
ROWS = 8000
TICKET = Ticket("any", seed=5, batch_rows=50)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return big_rows(tmp_path_factory.mktemp("data") / "t", ROWS)


@pytest.fixture
def server(folder: Path) -> Iterator[ServerProcess]:
    with ServerProcess({"t": folder}) as process:
        yield process


@pytest.mark.slow
def test_twenty_kills_in_one_epoch_lose_and_repeat_nothing(server: ServerProcess) -> None:
    kills = sorted(np.random.default_rng(1).integers(0, ROWS - 1500, 20).tolist())
    source = open_source(f"{server.address}/t", prefetch=1, patience=60)
    rows: list[int] = []
    for batch in source.batches(TICKET):
        rows += batch["id"].to_pylist()
        while kills and len(rows) >= kills[0]:
            kills.pop(0)
            server.restart()
    assert rows == Order(ROWS, 5).rows_at(np.arange(ROWS)).tolist()


def test_a_server_gone_for_good_is_an_error_with_its_address(server: ServerProcess) -> None:
    stream = open_source(f"{server.address}/t", prefetch=1, patience=1).batches(TICKET)
    next(stream)
    server.signal(signal.SIGKILL)
    with pytest.raises(NymphError, match=rf"{server.address}: no answer for 1 s"):
        list(stream)


def test_a_frozen_server_is_noticed(server: ServerProcess) -> None:
    stream = open_source(f"{server.address}/t", prefetch=1, stall=1, patience=2).batches(TICKET)
    next(stream)
    server.signal(signal.SIGSTOP)
    with pytest.raises(NymphError, match="no answer for 2 s"):
        list(stream)


def test_a_thawed_server_goes_on_in_the_same_row(server: ServerProcess) -> None:
    stream = open_source(f"{server.address}/t", prefetch=1, stall=1, patience=60).batches(TICKET)
    rows = next(stream)["id"].to_pylist()
    server.signal(signal.SIGSTOP)
    threading.Timer(3, server.signal, [signal.SIGCONT]).start()
    rows += [row for batch in stream for row in batch["id"].to_pylist()]
    assert rows == Order(ROWS, 5).rows_at(np.arange(ROWS)).tolist()


def test_readers_that_never_read_do_not_keep_others_out_nor_the_server_up(folder: Path) -> None:
    with ServerProcess({"t": folder}, deadline=2, limits={"streams": 33}) as server:
        idle = [idle_stream(server.address) for _ in range(32)]
        rows = [row for batch in open_source(f"{server.address}/t").batches(TICKET) for row in batch["id"].to_pylist()]
        assert sorted(rows) == list(range(ROWS))
        server.signal(signal.SIGTERM)
        assert server.process.wait(10) == 0
        del idle


def test_a_table_replaced_under_a_stream_is_served_to_its_end(tmp_path: Path) -> None:
    folder = big_rows(tmp_path / "t", 2000)
    with ServerProcess({"t": folder}) as server:
        stream = open_source(f"{server.address}/t", prefetch=1).batches(TICKET)
        rows = next(stream)["id"].to_pylist()
        new = pq.read_table(folder / "a.parquet").slice(0, 10)
        pq.write_table(new, tmp_path / "b")
        (tmp_path / "b").rename(folder / "a.parquet")
        rows += [row for batch in stream for row in batch["id"].to_pylist()]
        assert sorted(rows) == list(range(2000))


def test_an_uploader_that_dies_leaves_nothing(tmp_path: Path) -> None:
    server = FlightServer({"in": tmp_path}, port=0, writable=["in"])
    script = (
        "import pyarrow as pa, pyarrow.flight as fl, os\n"
        f"client = fl.connect('grpc://127.0.0.1:{server.port}')\n"
        "table = pa.table({'a': list(range(100_000))})\n"
        "writer, _ = client.do_put(fl.FlightDescriptor.for_path('in', 'a.parquet'), table.schema)\n"
        "writer.write_table(table)\n"
        "print('sent', flush=True)\n"
        "os.read(0, 1)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    child.kill()
    child.wait()
    wait_until(lambda: {"method": "do_put", "outcome": "error", "count": 1} in server.stats.snapshot()["calls"])
    assert not list(tmp_path.iterdir())
    server.shutdown(5)


def idle_stream(address: str) -> fl.FlightStreamReader:
    """A stream whose first batch was read, and nothing after it."""
    reader = fl.connect(address).do_get(fl.Ticket(Ticket("t").encode()))
    reader.read_chunk()
    return reader
