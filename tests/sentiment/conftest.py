from collections.abc import Iterator

import pytest

from nymph.sentiment.classifier import load_classifier
from tests.offline import nothing_leaves_this_machine


@pytest.fixture(scope="session", autouse=True)
def no_connections() -> Iterator[None]:
    """Loading and running the offline models needs nobody."""
    with nothing_leaves_this_machine():
        yield


@pytest.fixture(scope="session")
def classifier():
    return load_classifier(device="cpu", batch_size=8)
