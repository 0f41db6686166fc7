from collections.abc import Iterator

import pytest

from nymph.sentiment.classifier import load_classifier
from tests.offline import nothing_leaves_this_machine


@pytest.fixture(scope="module", autouse=True)
def no_connections() -> Iterator[None]:
    """Running the offline models needs nobody; later tests of this process may."""
    with nothing_leaves_this_machine():
        yield


@pytest.fixture(scope="session")
def classifier():
    with nothing_leaves_this_machine():
        return load_classifier(device="cpu", batch_size=8)
