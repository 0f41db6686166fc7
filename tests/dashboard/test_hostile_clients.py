"""What no page would send, over bare sockets: it ends that connection with the right code, and no other (W5)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from nymph.dashboard import protocol
from nymph.dashboard.assets import CHART
from nymph.dashboard.protocol import MOST_FRAGMENTS, MOST_PINGS
from nymph.training.events import EVENTS

from .browser import serving
from .conftest import open_log, write_steps
from .raw import BINARY, CONTINUATION, PING, TEXT, call, frame, goodbye, handshake, open_live, read_until


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one run of three steps."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / CHART).parent.mkdir(parents=True)
    (folder / CHART).write_text("// stands for Chart.js")
    with open_log(folder / "runs") as log:
        write_steps(log, 1, 3)
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """One server for all of them: each test also shows that the one before left it well."""
    with serving(folder / "runs", folder) as address:
        yield address


MESSAGES = {
    "100 MB": (frame(TEXT, b"", claimed=100_000_000), 1009),
    "100 MB in fragments": (frame(TEXT, b"", final=False) + frame(CONTINUATION, b"", claimed=100_000_000), 1009),
    "many fragments": (frame(TEXT, b"", final=False) + frame(CONTINUATION, b"", final=False) * MOST_FRAGMENTS, 1008),
    "binary": (frame(BINARY, b"\x00\x01"), 1008),
    "bad UTF-8": (frame(TEXT, b'{"watch": {"\xff": null}}'), 1007),
    "half a letter": (frame(TEXT, "é".encode()[:1]), 1007),
    "a command": (frame(TEXT, b'{"stop": true}'), 1008),
    "many pings": (frame(PING, b"") * (20 * MOST_PINGS), 1008),  # at once: some second has more than it may
    "a long ping": (frame(PING, b"x" * 126), 1002),
    "no mask": (b"\x81\x02hi", 1002),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_what_no_page_would_send_ends_the_connection(address: str, name: str) -> None:
    message, code = MESSAGES[name]
    client = open_live(address)
    client.sendall(message)
    assert goodbye(client) == code


@pytest.mark.parametrize("part", [b"", b"GET /live HT", b"half"])
def test_a_handshake_that_is_never_finished_is_hung_up_on(
    address: str, part: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.05)
    head = handshake(address)[:-2] if part == b"half" else part
    crowd = [call(address, head) for _ in range(20)]
    assert {goodbye(client) for client in crowd} <= {None}


def test_who_behaves_is_served_beside_them(address: str) -> None:
    crowd = [call(address, handshake(address)[:-2]) for _ in range(50)]
    with open_live(address) as client:
        client.sendall(frame(TEXT, b'{"watch": {"first": null}}') + frame(PING, b"hello"))
        read_until(client, b'"train/loss":[[1,2,3]', b"\x8a\x05hello")
    for half in crowd:
        half.close()


def test_a_body_that_never_ends_is_given_up(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nymph.dashboard.bodies.BODY_SECONDS", 0.05)
    place = address.removeprefix("http://")
    head = f"POST /login HTTP/1.1\r\nHost: {place}\r\nOrigin: {address}\r\nContent-Length: 9\r\n\r\ntok"
    with call(address, head.encode()) as client:
        assert read_until(client, b"\r\n").startswith(b"HTTP/1.1 408")


def test_none_of_them_wrote_anything(address: str, folder: Path) -> None:
    assert [file.name for file in (folder / "runs").rglob("*") if file.is_file()] == [EVENTS]
