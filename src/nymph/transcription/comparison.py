"""Transcripts beside the references that a corpus brings: how many words, times and speakers are right.

A reference lies beside its recording under the same name: `.stm` (words, turns, speakers), `.txt` (words) or `.rttm`
(speakers). Each error is taken over the recordings whose references say enough for it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nymph.errors import NymphError
from nymph.transcription.quiet import quiet_warnings
from nymph.transcription.scoring import (
    Turn,
    boundary_errors,
    diarization_error_rate,
    read_rttm,
    read_stm,
    word_error_rate,
)

REFERENCES = (".stm", ".rttm", ".txt")
Rows = Sequence[Mapping[str, Any]]
"""A transcript's rows, as `nymph.transcription.schema.TRANSCRIPT_SCHEMA` has them."""


@dataclass(frozen=True)
class Reference:
    """A recording and what is known of it; None where its references do not say."""

    recording: Path
    text: str | None
    turns: list[Turn] | None
    """Who speaks when, with word-exact edges where they come from an `.stm`."""
    speakers: list[Turn] | None


@dataclass(frozen=True)
class Score:
    """Errors of one recording, or of all; None where no reference says."""

    word_error_rate: float | None
    alignment_median_ms: float | None
    """Distance of the nearest word edge from each edge of the reference's turns."""
    diarization_error_rate: float | None


def find_references(folder: Path) -> list[Reference]:
    """Recordings below a folder that have a reference beside them.

    Raises:
        NymphError: there are none, or a reference is damaged.
    """
    stems = sorted({path.with_suffix("") for path in folder.rglob("*") if path.suffix in REFERENCES})
    found = [_reference(stem) for stem in stems]
    references = [reference for reference in found if reference is not None]
    if not references:
        raise NymphError(f"{folder}: expected recordings with a .stm, .rttm or .txt of the same name beside them")
    return references


def compare(references: Iterable[Reference], transcribe: Callable[[Path], Rows]) -> Iterator[tuple[str, Score]]:
    """Scores by recording, then `all`: over all words and edges together, and the mean of the diarization errors."""
    said: list[str] = []
    texts: list[str] = []
    edges: list[np.ndarray] = []
    confusions: list[float] = []
    for reference in references:
        rows = transcribe(reference.recording)
        text, found = " ".join(row["text"] for row in rows), _edges(rows, reference.turns)
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


def _reference(stem: Path) -> Reference | None:
    beside = {path.suffix: path for path in stem.parent.glob(f"{_escaped(stem.name)}.*") if path.is_file()}
    recording = next((path for suffix, path in sorted(beside.items()) if suffix not in REFERENCES), None)
    if recording is None:
        return None
    turns = read_stm(beside[".stm"]) if ".stm" in beside else None
    text = " ".join(turn.text for turn in turns) if turns else None
    if text is None and ".txt" in beside:
        text = beside[".txt"].read_text("utf-8-sig").strip()
    return Reference(recording, text or None, turns, read_rttm(beside[".rttm"]) if ".rttm" in beside else turns)


def _escaped(name: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


def _words(said: list[str], texts: list[str | None] | list[str]) -> float | None:
    return word_error_rate(said, [text or "" for text in texts]) if texts else None


def _edges(rows: Rows, turns: list[Turn] | None) -> np.ndarray:
    words = [word for row in rows for word in row["words"] or []]
    if not turns or not words:
        return np.zeros(0)
    starts = boundary_errors([word["start"] for word in words], [turn.start for turn in turns])
    ends = boundary_errors([word["end"] for word in words], [turn.end for turn in turns])
    return np.concatenate([starts, ends])


def _median_ms(edges: list[np.ndarray]) -> float | None:
    joined = np.concatenate([np.zeros(0), *edges])
    return 1000 * float(np.median(joined)) if joined.size else None


def _confusion(rows: Rows, speakers: list[Turn] | None) -> float | None:
    if not speakers:
        return None
    said = [Turn(row["speaker"] or "somebody", row["start"], row["end"]) for row in rows]
    with quiet_warnings():
        return diarization_error_rate(said, speakers)
