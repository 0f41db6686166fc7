"""A raw folder in the test's own place, and what ingestion makes of it."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from nymph.ingestion.options import IngestionOptions
from nymph.ingestion.raw import RawFolder
from nymph.ingestion.scan import declare_recordings
from nymph.stages import Failed, Made

Ingest = Callable[..., tuple[list[dict[str, Any]], list[Failed]]]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


@pytest.fixture
def ingest(raw: Path) -> Ingest:
    """Rows and failures of everything in the raw folder."""

    def run(options: IngestionOptions | None = None) -> tuple[list[dict[str, Any]], list[Failed]]:
        work = declare_recordings(RawFolder(raw), options)
        made: Iterable[Any] = (outcome for outcome in work.outcomes(lambda item: False) if isinstance(outcome, Made))
        rows = [row for outcome in made for row in outcome.value]
        return rows, work.tally.failures

    return run


def tone(path: Path, seconds: float = 1.0, hertz: float = 220.0, rate: int = 16_000) -> Path:
    """A WAV of a sine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * rate)) / rate
    soundfile.write(path, (0.3 * np.sin(2 * np.pi * hertz * time)).astype(np.float32), rate)
    return path
