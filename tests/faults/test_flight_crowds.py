"""F4, F15: clients that never read, and very many tables."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.flight as fl
import pyarrow.parquet as pq
import pytest

from nymph.flight.server import FlightServer
from nymph.flight.source import open_source
from nymph.flight.tables import Table
from nymph.flight.tickets import Ticket

from .flight_process import ServerProcess, big_rows, wait_until

pytestmark = pytest.mark.faults
ROWS = 6000
TICKET = Ticket("any", seed=5, batch_rows=50)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = big_rows(tmp_path_factory.mktemp("data") / "t", ROWS)
    Table(folder)  # makes the cache
    return folder


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten thousand tables of one file each."""
    root = tmp_path_factory.mktemp("many")
    pq.write_table(pa.table({"a": [1, 2, 3]}), root / "_one")
    for number in range(10_000):
        (root / f"t{number:04}").mkdir()
        os.link(root / "_one", root / f"t{number:04}" / "a.parquet")
    return root


def test_readers_that_never_read_do_not_keep_others_out_nor_the_server_up(folder: Path) -> None:
    with ServerProcess({"t": folder}, deadline=2, limits={"streams": 33}) as server:
        open_source(f"{server.address}/t")  # a plain client is told to wait for the table, and does not
        idle = [idle_stream(server.address) for _ in range(32)]
        wait_until(lambda: streams(server) == 32)
        rows = [row for batch in open_source(f"{server.address}/t").batches(TICKET) for row in batch["id"].to_pylist()]
        assert sorted(rows) == list(range(ROWS))
        wait_until(lambda: streams(server) == 32)
        server.signal(signal.SIGTERM)
        assert server.process.wait(120) == 0
        del idle


def test_ten_thousand_tables_are_listed_and_each_is_found(many: Path) -> None:
    server = FlightServer({"data": many}, port=0)
    try:
        with fl.connect(f"grpc://127.0.0.1:{server.port}") as client:
            names = [info.descriptor.path[-1] for info in client.list_flights()]
            assert names == [f"t{number:04}".encode() for number in range(10_000)]
            assert len(list(client.list_flights(b"data/t12"))) == 100
        for name in names[::2000]:
            assert open_source(f"grpc://127.0.0.1:{server.port}/data/{name.decode()}").rows == 3
    finally:
        server.shutdown(5)


@pytest.mark.idle
def test_ten_thousand_tables_are_listed_within_a_second(many: Path) -> None:
    with ServerProcess({"data": many}) as server, fl.connect(server.address) as client:
        times = []
        for _ in range(3):
            begin = time.perf_counter()
            assert sum(1 for _ in client.list_flights()) == 10_000
            times.append(time.perf_counter() - begin)
        assert min(times) < 1


@pytest.mark.idle
def test_readers_that_never_read_cost_the_others_less_than_twice_their_time(folder: Path) -> None:
    with ServerProcess({"t": folder}, deadline=1) as server, fl.connect(server.address) as client:
        open_source(f"{server.address}/t")
        alone = seconds_of_a_batch(client)
        idle = [idle_stream(server.address) for _ in range(100)]
        assert seconds_of_a_batch(client) < 2 * alone
        del idle


def seconds_of_a_batch(client: fl.FlightClient) -> float:
    """The median of 200 reads of one row."""
    ticket = fl.Ticket(Ticket("t", stop=1).encode())
    times = []
    for _ in range(200):
        begin = time.perf_counter()
        client.do_get(ticket).read_all()
        times.append(time.perf_counter() - begin)
    return float(np.median(times))


def streams(server: ServerProcess) -> int:
    """Streams that are open now."""
    with fl.connect(server.address) as client:
        return int(json.loads(next(client.do_action(fl.Action("stats", b""))).body.to_pybytes())["streams"])


def idle_stream(address: str) -> fl.FlightStreamReader:
    """A stream whose first batch was read, and nothing after it."""
    reader = fl.connect(address).do_get(fl.Ticket(Ticket("t").encode()))
    reader.read_chunk()
    return reader
