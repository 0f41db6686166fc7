"""JSON lines that other people wrote: one bad line costs that line and nothing else.

Bytes are split on "\\n" alone and parsed line by line, because whole-file readers fail on one bad line, drop lines
with a byte order mark, or split on U+2028.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from nymph.ingestion.failures import UNREADABLE, unreadable

MAXIMUM_LINE = 64 * 1024 * 1024
"""Bytes; a longer line is quarantined without being parsed."""

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Line:
    """One parsed line."""

    number: int
    """From 1."""
    raw: bytes
    value: dict[str, Any]


OnBadLine = Callable[[int, str, str], None]
"""Called with the line number, a short reason and a message."""


def read_lines(path: Path, on_bad_line: OnBadLine) -> Iterator[Line]:
    """The JSON objects of a .jsonl file, plain, gzip or zstd; blank lines are passed over."""
    number = 0
    try:
        with open_compressed(path) as file:
            for number, raw in _numbered_lines(file):
                line = _parsed(number, raw, on_bad_line)
                if line is not None:
                    yield line
    except UNREADABLE as error:
        cause = unreadable(error)
        reason = cause.reason if number == 0 else "truncated"
        on_bad_line(number + 1, reason, f"expected more lines, reading stops here: {cause}")


def _parsed(number: int, raw: bytes, on_bad_line: OnBadLine) -> Line | None:
    if len(raw) > MAXIMUM_LINE:
        on_bad_line(number, "line_too_long", f"expected at most {MAXIMUM_LINE} bytes")
        return None
    stripped = raw.removeprefix(_BOM).strip() if number == 1 else raw.strip()
    if not stripped:
        return None
    try:
        return Line(number, stripped, parse_object(stripped))
    except ValueError as error:
        on_bad_line(number, "bad_json", str(error))
        return None


def parse_object(raw: bytes) -> dict[str, Any]:
    """A JSON object of valid UTF-8 without NaN, duplicate keys or lone surrogates.

    Raises:
        ValueError: says what was expected and what came.
    """
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_unique)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"expected UTF-8, got byte {raw[error.start]:#04x} at {error.start}") from error
    except UnicodeEncodeError as error:
        raise ValueError("expected valid Unicode, got a lone surrogate") from error
    except RecursionError as error:
        raise ValueError("expected flat JSON, got very deep nesting") from error
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, got {type(value).__name__}")
    return value


def open_compressed(path: Path) -> IO[bytes]:
    """A binary stream of a plain, .gz or .zst file."""
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if suffix == ".zst":
        return pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")
    return open(path, "rb")


def _numbered_lines(file: IO[bytes], block: int = 1 << 20) -> Iterator[tuple[int, bytes]]:
    """Split on b"\\n"; of an overlong line only a little more than the maximum is kept in memory."""
    number, pending, overlong = 1, bytearray(), False
    read = getattr(file, "read1", file.read)  # a truncated gzip gives what it has before it raises
    while chunk := read(block):
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            yield number, bytes(pending) + (b"" if overlong else part)
            number, pending, overlong = number + 1, bytearray(), False
        if not overlong:
            pending += rest
            overlong = len(pending) > MAXIMUM_LINE
    if pending:
        yield number, bytes(pending)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"expected finite numbers, got {name}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("expected each key once, got a duplicate key")
    return value
