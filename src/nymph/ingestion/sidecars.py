"""Transcripts beside recordings: `talk.TextGrid`, `talk.stm` or `talk.txt` next to `talk.wav`, plain or compressed.

The one that knows most wins: word times, then utterance times, then words alone. One that cannot be read is
quarantined by its own name, and the recording goes on without it.
"""

import math
from collections.abc import Sequence
from pathlib import PurePosixPath

from nymph.ingestion.failures import UNREADABLE, IngestionError, unreadable
from nymph.ingestion.given import TOLERANCE_S, Given, GivenSegment
from nymph.ingestion.jsonl import open_compressed
from nymph.ingestion.raw import RawFile
from nymph.ingestion.stm import parse_stm
from nymph.ingestion.textgrid import parse_textgrid

FORMATS = (".textgrid", ".stm", ".txt")
"""Suffixes in small letters, the one that knows most first."""

TURNS = ".rttm"
"""Who speaks when, without words: `kedro score` compares with it, ingestion only knows that it belongs there."""

MAXIMUM_TEXT = 256 * 1024 * 1024
"""Bytes of one text file; longer ones belong into JSON lines, a document a line."""


def suffix_of(source: str) -> str:
    """The suffix in small letters, not counting that of compression."""
    return PurePosixPath(_unpacked(source)).suffix.lower()


def stem_of(source: str) -> str:
    """The path without its suffix, and without that of compression."""
    return str(PurePosixPath(_unpacked(source)).with_suffix(""))


def is_packed(source: str) -> bool:
    """Whether a name says that the file is compressed as a whole."""
    return source.lower().endswith((".gz", ".zst"))


def _unpacked(source: str) -> str:
    return source[: -len(PurePosixPath(source).suffix)] if is_packed(source) else source


def sidecars_of(files: Sequence[RawFile], recordings: Sequence[RawFile]) -> dict[str, tuple[RawFile, ...]]:
    """Recording -> the transcripts of its name beside it, the one that knows most first."""
    beside: dict[str, list[RawFile]] = {}
    for file in files:
        if file.regular and suffix_of(file.source) in FORMATS:
            beside.setdefault(stem_of(file.source), []).append(file)
    for found in beside.values():
        found.sort(key=lambda file: FORMATS.index(suffix_of(file.source)))
    stems = ((file, stem_of(file.source)) for file in recordings)
    return {file.source: tuple(beside[stem]) for file, stem in stems if stem in beside}


def read_transcript(file: RawFile, duration_s: float | None) -> Given:
    """What a sidecar says of its recording.

    Raises:
        IngestionError: it is damaged, empty, or speaks of times outside the recording.
    """
    text, suffix = read_text(file), suffix_of(file.source)
    if suffix == ".txt":
        return (GivenSegment(text),)
    given = parse_stm(text, PurePosixPath(stem_of(file.source)).name) if suffix == ".stm" else parse_textgrid(text)
    if not given:
        raise IngestionError("bad_transcript", "expected something said, got none")
    for segment in given:
        _check_times(segment, duration_s)
    return given


def _check_times(segment: GivenSegment, duration_s: float | None) -> None:
    last = math.inf if duration_s is None else duration_s + TOLERANCE_S
    words = [(word.start, word.end) for word in segment.words or ()]
    for start, end in [(segment.start or 0.0, segment.end or 0.0), *words]:
        if not 0 <= start < end <= last or not math.isfinite(end):
            within = "" if duration_s is None else f" within 0 to {duration_s:.2f} s"
            raise IngestionError("bad_transcript", f"expected start before end{within}, got {start} to {end}")


def read_text(file: RawFile) -> str:
    """A whole text file, plain, gzip or zstd.

    Raises:
        IngestionError: it is damaged, too long, or no text.
    """
    try:
        with open_compressed(file.path) as stream:
            data = stream.read(MAXIMUM_TEXT + 1)
    except UNREADABLE as error:
        raise unreadable(error) from error
    if len(data) > MAXIMUM_TEXT:
        raise IngestionError("too_long", f"expected at most {MAXIMUM_TEXT} bytes of text; use JSON lines")
    text = _decoded(data)
    if "\0" in text or not text.strip():
        raise IngestionError("not_text", "expected text, got NUL bytes or nothing but space")
    return text


def _decoded(data: bytes) -> str:
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")  # Praat writes UTF-16 as soon as a mark is not ASCII
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise IngestionError("not_text", f"expected UTF-8 text, got byte {data[error.start]:#04x}") from error
