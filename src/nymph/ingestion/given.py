"""A transcript that came with a recording, in the shape the table of recordings keeps."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from nymph.files import fingerprint

Clean = Callable[[str], str]
"""Makes a text regular; see `nymph.text.normalisation`."""

TOLERANCE_S = 1.0
"""Seconds by which a transcript may run past its recording: annotators and encoders round."""


@dataclass(frozen=True, slots=True)
class GivenWord:
    """A word and when it was said, in seconds."""

    word: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class GivenSegment:
    """What one person says in one go."""

    text: str
    start: float | None = None
    """Seconds; None where the transcript knows no times."""
    end: float | None = None
    speaker: str | None = None
    words: tuple[GivenWord, ...] | None = None
    """None where only the whole is timed."""


Given = tuple[GivenSegment, ...]


def given_columns(segments: Given, clean: Clean) -> dict[str, Any]:
    """The columns of a recording's row that its transcript fills; none for an empty one."""
    rows = [row for row in (_row(segment, clean) for segment in segments) if row["text"]]
    if not rows:
        return {}
    text = " ".join(row["text"] for row in rows)
    return {
        "text": text,
        "segments": rows,
        "given": fingerprint(rows),
        "timed": _timed(rows),
        "words": len(text.split()),
        "speakers": sorted({row["speaker"] for row in rows if row["speaker"]}),
    }


def _timed(rows: list[dict[str, Any]]) -> str | None:
    if any(row["words"] for row in rows):
        return "words"
    return "utterances" if any(row["start"] is not None for row in rows) else None


def _row(segment: GivenSegment, clean: Clean) -> dict[str, Any]:
    row = asdict(segment)
    row["text"] = clean(segment.text).strip()
    row["words"] = [word | {"word": clean(word["word"])} for word in row["words"]] if segment.words else None
    return row
