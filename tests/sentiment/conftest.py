import pytest

from nymph.sentiment.classifier import load_classifier


@pytest.fixture(scope="session")
def classifier():
    return load_classifier(device="cpu", batch_size=8)
