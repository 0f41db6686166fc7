import wave
from collections.abc import Iterator

import numpy as np
import pytest

from nymph.transcription.config import TranscriptionConfig
from nymph.transcription.engine import Transcriber, load_transcriber
from nymph.transcription.models import packaged_file
from tests.offline import nothing_leaves_this_machine


@pytest.fixture(scope="module", autouse=True)
def no_connections() -> Iterator[None]:
    """Running the offline models needs nobody; later tests of this process may."""
    with nothing_leaves_this_machine():
        yield


@pytest.fixture(scope="session")
def conversation() -> np.ndarray:
    """Thirty seconds of two people on the telephone, mono float32 at 16 kHz, as pyannote.audio packages them."""
    with wave.open(str(packaged_file("pyannote", "audio", "sample", "sample.wav"))) as file:
        data = file.readframes(file.getnframes())
    return np.frombuffer(data, np.int16).astype(np.float32) / 32768


@pytest.fixture(scope="session")
def transcriber() -> Transcriber:
    with nothing_leaves_this_machine():
        return load_transcriber(TranscriptionConfig(threads=1))
