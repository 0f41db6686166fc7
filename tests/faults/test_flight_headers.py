"""F8, and headers that no well-behaved client sends: refused, the server stays, the token is written nowhere."""

import logging
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.flight as fl
import pytest

from nymph.errors import NymphError
from nymph.flight.auth import Token
from nymph.flight.logs import log_json
from nymph.flight.server import FlightServer
from nymph.flight.source import open_source
from nymph.flight.tickets import Ticket

from . import http2
from .flight_process import ServerProcess, big_rows, wait_until
from .fuzz import mutated

pytestmark = pytest.mark.faults
SECRET = "correct-horse-battery-staple"
HEALTH = b"\x0a\x06health"
"""The protobuf message of the action `health`."""
GRANTED = b'"status": "serving"'
GOOD = (b"authorization", f"Bearer {SECRET}".encode())
ODD = [
    [],
    [GOOD, GOOD],
    [(b"Authorization", GOOD[1])],
    [(b"authorization", GOOD[1] + b"\n")],
    [(b"authorization", GOOD[1] + b"\0")],
    [(b"authorization", b"Bearer \xff\xfe")],
    [(b"authorization", b"Basic " + SECRET.encode())],
    [(b"authorization", b"Bearer " + b"x" * 100_000)],
    [(b"authorization-bin", GOOD[1])],
    [(f"k{number}".encode(), b"v") for number in range(2000)],
    [(b"", b"x")],
    [(b"a\r\nauthorization: Bearer", SECRET.encode())],
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = big_rows(tmp_path_factory.mktemp("data") / "t", 20)
    with ServerProcess({"t": folder}, token=SECRET) as process:
        yield process


def test_the_token_is_let_in(server: ServerProcess) -> None:
    assert GRANTED in http2.answer(server.port, http2.request(http2.call(b"DoAction", [GOOD]), [HEALTH]))


@pytest.mark.parametrize("extra", ODD, ids=range(len(ODD)))
def test_odd_headers_are_let_in_nowhere(server: ServerProcess, extra: list[tuple[bytes, bytes]]) -> None:
    said = http2.answer(server.port, http2.request(http2.call(b"DoAction", extra), [HEALTH]))
    assert GRANTED not in said
    assert b'.py"' not in said  # no line of this project's code, no path of this machine


def test_four_hundred_fuzzed_headers_leave_the_server_as_it_was(server: ServerProcess) -> None:
    generator = random.Random(5)
    requests = [fuzzed_call(generator) for _ in range(300)]
    frames = [mutated(generator, generator.choice(requests)) for _ in range(100)]
    before = server.rss
    with ThreadPoolExecutor(16) as pool:
        said = list(pool.map(lambda sent: http2.answer(server.port, sent), requests))
        said += pool.map(lambda sent: http2.answer(server.port, sent, hang_up=True), frames)
    assert not any(GRANTED in each for each in said)
    wait_until(server.healthy)
    assert server.rss - before < 64 * 2**20


def test_the_token_is_in_no_log_and_no_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("nymph.flight")
    kept = logger.handlers, logger.propagate, logger.level
    folder = big_rows(tmp_path / "t", 20)
    server = FlightServer({"t": folder}, port=0, tokens=[Token.of(SECRET, ["read"])])
    try:
        log_json()
        logger.setLevel(logging.DEBUG)
        address = f"grpc://127.0.0.1:{server.port}/t"
        source = open_source(address, token=SECRET)
        assert sum(batch.num_rows for batch in source.batches(Ticket("any"))) == 20
        errors = [error_of(address, SECRET, "refresh"), error_of(address, SECRET + "?", "health")]
        monkeypatch.setattr(server, "snapshot", lambda: 1 / 0)
        errors.append(error_of(address, SECRET, "stats"))
        with pytest.raises(NymphError) as refused:
            open_source(address, token=SECRET + " ?")
    finally:
        server.shutdown(5)
        logger.handlers, logger.propagate = kept[:2]
        logger.setLevel(kept[2])
    written = "".join(capfd.readouterr())
    assert "ZeroDivisionError" in written  # the log is there, with its details
    assert SECRET not in " ".join([written, *errors, str(refused.value), repr(source.__dict__)])


def error_of(address: str, token: str, action: str) -> str:
    """What a plain client is told."""
    headers = [(b"authorization", f"Bearer {token}".encode())]
    with fl.connect(address.removesuffix("/t")) as client, pytest.raises(fl.FlightError) as error:
        list(client.do_action(fl.Action(action, b""), fl.FlightCallOptions(headers=headers)))
    return str(error.value)


def fuzzed_call(generator: random.Random) -> bytes:
    """A call with odd fields; the first three are the protocol's own."""
    good = http2.call(b"DoAction", [(b"authorization", b"Bearer wrong"), (b"x-any", b"value")])
    fields = [(mutated(generator, name), mutated(generator, value)) for name, value in good[3:]]
    return http2.request([*good[:3], *fields], [HEALTH])
