"""A guard for tests of what must work offline."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

LOCAL = ("127.0.0.1", "::1", "localhost")


@contextmanager
def nothing_leaves_this_machine() -> Iterator[None]:
    """Connecting to anything but this machine's own sockets fails."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and address[0] not in LOCAL:
            raise AssertionError(f"tried to connect to {address}")
        connect(self, address)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield
