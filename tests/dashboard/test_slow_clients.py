"""A client that never reads: nobody else waits, it is cut off, and it costs no memory (W2)."""

import base64
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from websockets.sync.client import ClientConnection, connect

from nymph.training.events import EventLog

from .conftest import open_log

pytestmark = pytest.mark.faults

WATCH = b'{"watch": {"first": null}}'
METRICS = 40
STEPS = 600
"""As many as make an update of about half a megabyte: more than the kernel holds for a connection."""
CODE = """
from pathlib import Path
from nymph.dashboard import live
live.SEND_SECONDS = 1.0
from nymph.dashboard.serve import serve
serve(Path({runs!r}), port=0)
"""


@pytest.fixture
def server(runs: Path, project: Path) -> Iterator[tuple[int, psutil.Process]]:
    """Port and process of a server that cuts a client off after a second without reading."""
    process = subprocess.Popen(
        [sys.executable, "-c", CODE.format(runs=str(runs))], stdout=subprocess.PIPE, text=True, cwd=project
    )
    assert process.stdout is not None
    port = int(process.stdout.readline().split("http://")[1].split()[0].partition(":")[2])
    yield port, psutil.Process(process.pid)
    process.terminate()
    process.wait(30)
    process.stdout.close()


class Updates:
    """Steps that arrive at a client that reads."""

    def __init__(self, log: EventLog, client: ClientConnection) -> None:
        self._log, self._client, self.step = log, client, 10

    def send(self, times: int) -> None:
        """Write updates; each is seen before the next is written."""
        for _ in range(times):
            first, self.step = self.step + 1, self.step + STEPS
            for step in range(first, self.step + 1):
                losses = {f"objective_{i}": step / 7 + i for i in range(METRICS)}
                self._log.write("step", step=step, loss=1.0, losses=losses)
            while self._seen() < self.step:
                pass

    def _seen(self) -> int:
        parts = json.loads(self._client.recv(timeout=60))["points"]
        return max((part["series"]["train/loss"][0][-1] for part in parts), default=0)


def deaf_client(port: int) -> socket.socket:
    """A WebSocket that asks for everything and reads nothing more than the server's consent."""
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(("127.0.0.1", port))
    lines = ["GET /live HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Origin: http://127.0.0.1:{port}", "Upgrade: websocket"]
    key = base64.b64encode(os.urandom(16)).decode()
    lines += ["Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", "", ""]
    deaf.sendall("\r\n".join(lines).encode())
    assert b"101" in deaf.recv(20)
    deaf.sendall(struct.pack("!BB4x", 0x81, 0x80 | len(WATCH)) + WATCH)  # masked with zeros
    return deaf


def connections(process: psutil.Process) -> int:
    return sum(found.status == psutil.CONN_ESTABLISHED for found in process.net_connections())


def test_a_client_that_never_reads_is_cut_off_and_holds_nobody_up(
    server: tuple[int, psutil.Process], runs: Path
) -> None:
    port, process = server
    live = connect(f"ws://127.0.0.1:{port}/live", origin=f"http://127.0.0.1:{port}", max_size=None)  # type: ignore[arg-type]
    with live as client, open_log(runs) as log:
        client.send(WATCH.decode())
        updates = Updates(log, client)
        updates.send(8)
        alone = [process.memory_info().rss]
        updates.send(8)
        alone.append(process.memory_info().rss)
        with deaf_client(port):
            updates.send(8)
            with_deaf = process.memory_info().rss - alone[1]
            deadline = time.monotonic() + 60
            while connections(process) > 1:
                assert time.monotonic() < deadline, "the deaf client is still connected"
                time.sleep(0.05)
    assert with_deaf - (alone[1] - alone[0]) < 10e6
