"""A server in this process, for the tests of the data plane."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nymph.flight.server import FlightServer


@pytest.fixture(autouse=True)
def _tables_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain client is told to come back where a slow machine needs seconds to open a table; here it waits."""
    monkeypatch.setattr("nymph.flight.catalogue._WAIT", 120)


@pytest.fixture
def serve() -> Iterator[Callable[..., FlightServer]]:
    """Start servers on free ports of this machine; they end with the test."""
    servers = []

    def start(roots: dict[str, Path], **options: Any) -> FlightServer:
        servers.append(FlightServer(roots, port=0, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown(5)
