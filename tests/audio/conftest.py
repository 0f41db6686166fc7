"""Sound for the tests: real speech that ships with pyannote.audio, and files made on the spot."""

import importlib.util
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from nymph.audio.decode import decode

MakeFile = Callable[..., bytes]


@pytest.fixture(scope="session")
def speech_path() -> Path:
    """30 s of conversation, two speakers, 16 kHz."""
    spec = importlib.util.find_spec("pyannote.audio")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "sample" / "sample.wav"


@pytest.fixture(scope="session")
def speech(speech_path: Path) -> np.ndarray:
    return decode(speech_path)


@pytest.fixture(scope="session")
def make_file() -> MakeFile:
    """Bytes of an audio file: samples [n] or [n, channels], rate, container, subtype."""

    def make(samples: np.ndarray, rate: int = 16_000, container: str = "WAV", subtype: str | None = None) -> bytes:
        buffer = io.BytesIO()
        soundfile.write(buffer, samples, rate, format=container, subtype=subtype)
        return buffer.getvalue()

    return make


@pytest.fixture(scope="session")
def tone() -> np.ndarray:
    """One second of 220 Hz at 16 kHz, amplitude 0.5."""
    return tone_at(220.0)


def tone_at(hertz: float, rate: int = 16_000, seconds: float = 1.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)
