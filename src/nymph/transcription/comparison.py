"""Transcripts beside what is known of their recordings: how many words, times and speakers are right.

Each error is taken over the recordings whose references say enough for it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nymph.errors import NymphError
from nymph.transcription.quiet import quiet_warnings
from nymph.transcription.scoring import Turn, boundary_errors, diarization_error_rate, word_error_rate

Rows = Sequence[Mapping[str, Any]]
"""A transcript's rows, as `nymph.transcription.schema.TRANSCRIPT_SCHEMA` has them."""


@dataclass(frozen=True)
class Reference:
    """A recording and what is known of it; None or nothing where its references do not say."""

    recording: Path
    text: str | None
    timed: Sequence[Turn] = ()
    """What is said from when to when, with word-exact edges: each word where they are known, else each turn."""
    speakers: Sequence[Turn] = ()
    """Who speaks when."""


@dataclass(frozen=True)
class Score:
    """Errors of one recording, or of all; None where no reference says."""

    word_error_rate: float | None
    alignment_median_ms: float | None
    """Distance of the nearest word edge from each edge of the reference's words or turns."""
    diarization_error_rate: float | None


Scored = Iterator[tuple[str, Score | NymphError]]


def compare(references: Iterable[Reference], transcribe: Callable[[Path], Rows]) -> Scored:
    """Scores by recording, then `all`: over all words and edges together, and the mean of the diarization errors.

    A recording that cannot be transcribed has its error in place of a score and no part in `all`.
    """
    said: list[str] = []
    texts: list[str] = []
    edges: list[np.ndarray] = []
    confusions: list[float] = []
    for reference in references:
        try:
            rows = transcribe(reference.recording)
        except NymphError as error:
            yield reference.recording.name, error
            continue
        text, found = " ".join(row["text"] for row in rows), _edges(rows, reference.timed)
        confused = _confusion(rows, reference.speakers)
        yield (
            reference.recording.name,
            Score(_words([text], [reference.text]) if reference.text else None, _median_ms([found]), confused),
        )
        if reference.text:
            said.append(text)
            texts.append(reference.text)
        edges.append(found)
        confusions += [] if confused is None else [confused]
    mean = float(np.mean(confusions)) if confusions else None
    yield "all", Score(_words(said, texts), _median_ms(edges), mean)


def _words(said: list[str], texts: list[str | None] | list[str]) -> float | None:
    return word_error_rate(said, [text or "" for text in texts]) if texts else None


def _edges(rows: Rows, timed: Sequence[Turn]) -> np.ndarray:
    words = [word for row in rows for word in row["words"] or []]
    if not timed or not words:
        return np.zeros(0)
    starts = boundary_errors([word["start"] for word in words], [turn.start for turn in timed])
    ends = boundary_errors([word["end"] for word in words], [turn.end for turn in timed])
    return np.concatenate([starts, ends])


def _median_ms(edges: list[np.ndarray]) -> float | None:
    joined = np.concatenate([np.zeros(0), *edges])
    return 1000 * float(np.median(joined)) if joined.size else None


def _confusion(rows: Rows, speakers: Sequence[Turn]) -> float | None:
    if not speakers:
        return None
    said = [Turn(row["speaker"] or "somebody", row["start"], row["end"]) for row in rows]
    with quiet_warnings():
        return diarization_error_rate(said, speakers)
