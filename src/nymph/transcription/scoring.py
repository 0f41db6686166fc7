"""How right a transcript is: words (WER), times (alignment error) and speakers (DER).

Both texts go through Whisper's English normaliser first, so that "eighteen thirteen" equals "1813" and case and
punctuation cost nothing; other languages are lower-cased and stripped only. For evaluation alone: torchmetrics and
pyannote.metrics are imported on use.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nymph.errors import NymphError


@dataclass(frozen=True, slots=True)
class Turn:
    """Who speaks from when to when, in seconds."""

    speaker: str
    start: float
    end: float


def read_rttm(path: Path) -> list[Turn]:
    """Turns of an RTTM file: `SPEAKER recording channel start duration <NA> <NA> speaker ...`. Raises `NymphError`."""
    turns = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        fields = line.split()
        if fields and fields[0] == "SPEAKER":
            found = _turn(path, number, [*fields[7:8], *fields[3:5]])
            turns.append(Turn(found.speaker, found.start, found.start + found.end))
    return turns


def word_error_rate(said: Sequence[str], reference: Sequence[str], language: str = "en") -> float:
    """Word errors of all texts together divided by the reference's words (may exceed 1)."""
    from torchmetrics.functional.text import word_error_rate as errors

    normal = _normaliser(language)
    return float(errors([normal(text) for text in said], [normal(text) for text in reference]))


def diarization_error_rate(said: Iterable[Turn], reference: Iterable[Turn]) -> float:
    """Missed, false and confused speech time divided by the reference's, no collar, overlaps counted."""
    from pyannote.metrics.diarization import DiarizationErrorRate

    return float(DiarizationErrorRate()(_annotation(reference), _annotation(said)))


def boundary_errors(times: Sequence[float], reference: Sequence[float]) -> np.ndarray:
    """Distance in seconds from each reference time to the nearest of `times` [len(reference)]."""
    distances: np.ndarray = np.abs(np.subtract.outer(np.asarray(reference), np.asarray(times))).min(axis=1)
    return distances


def _turn(path: Path, number: int, fields: Sequence[str]) -> Turn:
    try:
        speaker, start, end = fields
        return Turn(speaker, float(start), float(end))
    except ValueError as error:
        raise NymphError(
            f"{path.name}:{number}: expected a speaker and two times in seconds, got {fields!r}"
        ) from error


def _normaliser(language: str) -> Any:
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer, EnglishTextNormalizer

    return EnglishTextNormalizer({}) if language == "en" else BasicTextNormalizer()


def _annotation(turns: Iterable[Turn]) -> Any:
    from pyannote.core import Annotation, Segment

    annotation = Annotation()
    for track, turn in enumerate(turns):
        annotation[Segment(turn.start, turn.end), track] = turn.speaker
    return annotation
