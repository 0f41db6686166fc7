"""Two machines with a bad line between them: packets late, lost, and for a while none at all.

A busy machine is a slow line: where packets are lost no silence is taken for a cut, and where the line is cut the rows
come in pieces that arrive at once or never.
"""

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from nymph.flight.order import Order

from .flight_process import SCRIPT, big_rows
from .two_hosts import ADDRESSES, NoNamespaces, TwoHosts

pytestmark = pytest.mark.faults
ROWS, BYTES, PORT = 600, 600 * 8192, 9090
AGAIN = "again\n"
SERVER = f"import nymph.flight.pieces as pieces; pieces.TARGET_BYTES = 64 * 1024\n{SCRIPT}"
CLIENT = """
import sys
from nymph.flight.source import open_source
from nymph.flight.stream import Patience
from nymph.flight.tickets import Ticket

pause = Patience.pause
Patience.pause = lambda *arguments: print("again", flush=True) or pause(*arguments)
source = open_source(sys.argv[1], prefetch=1, stall=float(sys.argv[2]), patience=200)
for batch in source.batches(Ticket("any", seed=5, batch_rows=20)):
    print(*batch["id"].to_pylist(), flush=True)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return big_rows(tmp_path_factory.mktemp("data") / "t", ROWS)


def test_a_late_and_lossy_line_changes_no_row(folder: Path) -> None:
    with two_hosts(loss=0.02) as hosts, serving(hosts, folder), reading(hosts, stall=60) as lines:
        rows = [int(row) for line in lines if line != AGAIN for row in line.split()]
        assert hosts.lost > 0
    assert rows == expected()


def test_a_line_that_is_cut_for_a_while_goes_on_in_the_same_row(folder: Path) -> None:
    rows: list[int] = []
    with two_hosts(cut_at=BYTES / 2) as hosts, serving(hosts, folder), reading(hosts, stall=3) as lines:
        cut = False
        for line in lines:
            if line != AGAIN:
                rows += map(int, line.split())
            elif hosts.cut.is_set():  # the client has noticed
                hosts.cut.clear()
                cut = True
    assert cut
    assert rows == expected()


@contextmanager
def two_hosts(loss: float = 0.0, cut_at: float = math.inf) -> Iterator[TwoHosts]:
    try:
        with TwoHosts(delay=0.01, loss=loss, cut_at=cut_at) as hosts:
            yield hosts
    except NoNamespaces as error:
        pytest.skip(f"this machine does not allow network namespaces with TUN devices: {error}")


@contextmanager
def serving(hosts: TwoHosts, folder: Path) -> Iterator[None]:
    arguments = json.dumps([{"t": str(folder)}, PORT, {"host": ADDRESSES[0], "insecure": True}, 5])
    with running([*hosts.on(0), sys.executable, "-c", SERVER, arguments]):
        yield


@contextmanager
def reading(hosts: TwoHosts, stall: float) -> Iterator[Iterator[str]]:
    """What the client prints: "again" before it asks again, and the rows of each batch."""
    command = [*hosts.on(1), sys.executable, "-c", CLIENT, f"grpc://{ADDRESSES[0]}:{PORT}/t", str(stall)]
    with running(command) as client:
        assert client.stdout is not None
        yield client.stdout


@contextmanager
def running(command: list[str]) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def expected() -> list[int]:
    return Order(ROWS, 5).rows_at(np.arange(ROWS)).tolist()
