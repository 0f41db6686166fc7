"""Ports, addresses, and a real server with hostile peers."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError

from nymph.dashboard.serve import _listen, serve
from nymph.errors import NymphError

from .conftest import open_log, write_steps


@pytest.fixture
def server(runs: Path, project: Path) -> Iterator[str]:
    """host:port of a real server over `runs`, in a process of its own."""
    code = f"from nymph.dashboard.serve import serve; from pathlib import Path; serve(Path({str(runs)!r}), port=0)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=project)
    assert process.stdout is not None
    line = process.stdout.readline()
    try:
        yield line.split("http://")[1].split()[0]
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def talk(server: str, **options: object) -> connect:
    return connect(f"ws://{server}/live", origin=f"http://{server}", **options)  # type: ignore[arg-type]


async def _read_to_the_end(client: ClientConnection) -> None:
    async for _ in client:
        pass


def test_a_taken_port_gives_way_to_the_next() -> None:
    with closing(_listen("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        with closing(_listen("127.0.0.1", port)) as second:
            assert second.getsockname()[1] > port


def test_no_free_port_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nymph.dashboard.serve._FURTHER_PORTS", 0)
    with closing(_listen("127.0.0.1", 0)) as taken, pytest.raises(NymphError, match="no free port"):
        _listen("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize("token", [None, "short"])
def test_an_exposed_address_needs_a_token(tmp_path: Path, token: str | None) -> None:
    with pytest.raises(NymphError, match="NYMPH_DASHBOARD_TOKEN"):
        serve(tmp_path, "0.0.0.0", token=token)


@pytest.mark.parametrize(("message", "code"), [("x" * 100_000, 1009), (b"\x00\x01", 1008), ('{"stop": true}', 1008)])
def test_what_no_page_would_send_ends_the_connection(server: str, message: str | bytes, code: int) -> None:
    async def goodbye() -> int | None:
        async with talk(server) as client:
            await client.send(message)
            with suppress(ConnectionClosedError):
                await _read_to_the_end(client)
            return client.close_code

    assert asyncio.run(goodbye()) == code


@pytest.mark.faults
def test_other_programs_and_the_port_survive_a_killed_dashboard(server: str, runs: Path) -> None:
    port = int(server.partition(":")[2])
    [process] = [
        other for other in psutil.Process().children() if any(c.laddr.port == port for c in other.net_connections())
    ]
    with open_log(runs) as log:
        process.kill()
        process.wait(10)
        write_steps(log, 11, 12)
    with closing(_listen("127.0.0.1", port)) as again:
        assert again.getsockname()[1] == port
