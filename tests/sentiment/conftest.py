import socket
from collections.abc import Iterator

import pytest

from nymph.sentiment.classifier import load_classifier


@pytest.fixture(scope="session", autouse=True)
def no_connections() -> Iterator[None]:
    """Whatever tries to leave this machine fails: loading and running the offline models needs nobody."""

    def refuse(self: socket.socket, address: object) -> None:
        raise AssertionError(f"tried to connect to {address}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        yield


@pytest.fixture(scope="session")
def classifier():
    return load_classifier(device="cpu", batch_size=8)
