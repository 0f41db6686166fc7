"""Documents into rows of fixed length, several to a row, without cross-attention and without silent truncation.

Best fit decreasing over a window of documents: the fuller rows leave, the emptiest third waits for the next window.
That needs memory for one window and gives up the documents' order within it, which training shuffles anyway.
(Ding et al., "Fewer Truncations Improve Language Modeling", arXiv 2404.10830.)
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

import pyarrow as pa

from nymph.errors import NymphError
from nymph.sequences.document import Document
from nymph.sequences.rows import Row, origin_batch, row_batch


@dataclass(frozen=True)
class PackingOptions:
    """How documents share rows."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    long_documents: Literal["split", "quarantine"] = "split"
    """What happens to a document longer than a row; one whose targets need its conditions is never split."""
    overlap: int = 32
    """Positions a piece repeats from the one before as context, without counting them again."""
    window_rows: int = 128
    """Rows' worth of documents packed together; memory grows with it, waste shrinks."""

    def __post_init__(self) -> None:
        if self.overlap < 0 or self.window_rows < 1:
            raise NymphError(
                f"packing: expected overlap of 0 or more and window_rows of 1 or more, got {self.overlap} and "
                f"{self.window_rows}"
            )


@dataclass
class PackingCounts:
    """What packing did: in = rows' documents + quarantined."""

    documents: int = 0
    rows: int = 0
    used: int = 0
    split: int = 0
    pieces: int = 0
    quarantined: list[str] = field(default_factory=list)
    """Task and id of documents that do not fit, with their length."""

    def waste(self, context_length: int) -> float:
        """Share of positions that are padding."""
        return 1 - self.used / (self.rows * context_length) if self.rows else 0.0


class Packed(NamedTuple):
    """A batch of rows and, row by row, where they came from (`nymph.sequences.rows.ORIGIN_SCHEMA`)."""

    rows: pa.RecordBatch
    origins: pa.RecordBatch


def pack(
    documents: Iterable[Document],
    schema: pa.Schema,
    context_length: int,
    options: PackingOptions | None = None,
    counts: PackingCounts | None = None,
) -> Iterator[Packed]:
    """Batches of packed rows of `schema`. The same documents in the same order give the same rows."""
    chosen, tally = options or PackingOptions(), counts if counts is not None else PackingCounts()
    if chosen.overlap >= context_length:
        raise NymphError(f"packing overlap {chosen.overlap} must be less than the context length {context_length}")
    waiting: list[Row] = []
    for window in _windows(_fitting(documents, context_length, chosen, tally), chosen.window_rows * context_length):
        rows = _best_fit(window, waiting, context_length)
        rows.sort(key=lambda row: -row.used)  # stable, so ties keep their order
        keep = len(rows) - max(1, len(rows) // 3)
        waiting = rows[keep:]
        yield from _emit(rows[:keep], schema, context_length, tally)
    yield from _emit(waiting, schema, context_length, tally)


def _emit(rows: list[Row], schema: pa.Schema, context_length: int, counts: PackingCounts) -> Iterator[Packed]:
    if rows:
        counts.rows += len(rows)
        counts.used += sum(row.used for row in rows)
        yield Packed(row_batch(rows, schema, context_length), origin_batch(rows))


def _fitting(
    documents: Iterable[Document], context_length: int, options: PackingOptions, counts: PackingCounts
) -> Iterator[Document]:
    """Documents that fit in a row: as they are, in overlapping pieces, or not at all but counted."""
    for document in documents:
        counts.documents += 1
        if document.length <= context_length:
            yield document
        elif options.long_documents == "quarantine" or document.whole:
            counts.quarantined.append(f"{document.task} {document.id}: {document.length} positions")
        else:
            pieces = list(_pieces(document, context_length, options.overlap))
            counts.split += 1
            counts.pieces += len(pieces)
            yield from pieces


def _pieces(document: Document, length: int, overlap: int) -> Iterator[Document]:
    for start in range(0, document.length - overlap, length - overlap):
        yield document.cut(start, min(start + length, document.length), overlap if start else 0)


def _windows(documents: Iterable[Document], positions: int) -> Iterator[list[Document]]:
    window: list[Document] = []
    size = 0
    for document in documents:
        window.append(document)
        size += document.length
        if size >= positions:
            yield window
            window, size = [], 0
    if window:
        yield window


def _best_fit(documents: list[Document], rows: list[Row], context_length: int) -> list[Row]:
    """Put each document, longest first, into the fullest row that has room for it."""
    result = list(rows)
    room = sorted((context_length - row.used, index) for index, row in enumerate(result))
    for document in sorted(documents, key=lambda document: -document.length):
        at = bisect_left(room, (document.length, -1))
        left, index = room.pop(at) if at < len(room) else (context_length, len(result))
        if index == len(result):
            result.append(Row())
        result[index].add(document)
        insort(room, (left - document.length, index))
    return result
