"""Rows by index out of memory-mapped batches, into buffers that are used again.

Fresh memory costs a page fault every 4 KiB, as much as the copy itself. So batches are written into a few arenas; an
arena comes back when the last Arrow buffer over it is gone, wherever it went (the socket, a tensor, another thread).
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nymph.flight.layout import Bytes, assemble, assemble_ragged, elements, layout, lengths_and_elements
from nymph.flight.order import Rows

_ALIGN = 64


class Arenas:
    """Byte arrays lent to Arrow and taken back by themselves; at most `keep` idle ones are kept."""

    def __init__(self, keep: int = 4) -> None:
        self._idle: deque[Bytes] = deque(maxlen=keep)

    def lend(self, size: int) -> tuple[Bytes, pa.Buffer]:
        """`size` bytes to write to, and the Arrow buffer over them; the bytes are lent while the buffer lives."""
        try:
            array = self._idle.popleft()
        except IndexError:
            array = np.empty(0, np.uint8)
        if array.nbytes < size:
            array = np.empty(size, np.uint8)
        return array, pa.foreign_buffer(array.ctypes.data, size, base=_Loan(self._idle, array))


class _Loan:
    """Keeps an arena alive for Arrow and hands it back when Arrow lets go; runs on any thread."""

    __slots__ = ("_array", "_idle")

    def __init__(self, idle: deque[Bytes], array: Bytes) -> None:
        self._idle, self._array = idle, array

    def __del__(self) -> None:
        self._idle.append(self._array)


@dataclass(frozen=True)
class _Source:
    """One column of one batch: its elements, and where each row's begin (None where every row is one element)."""

    elements: Bytes
    starts: NDArray[np.int64] | None


@dataclass(frozen=True)
class _Part:
    """Elements of one source, and where they go (None is all of the output, in order)."""

    source: Bytes
    index: NDArray[np.int64]
    place: NDArray[np.int64] | None


@dataclass(frozen=True)
class _Plan:
    """What one column takes in the arena: offsets of a ragged one, then `count` elements of `width` bytes."""

    parts: list[_Part]
    count: int
    width: int
    offsets: NDArray[np.int32] | None = None

    @property
    def sizes(self) -> tuple[int, int]:
        """Bytes of the offsets and of the elements, each rounded up to Arrow's alignment."""
        offsets = 0 if self.offsets is None else self.offsets.nbytes
        return _aligned(offsets), _aligned(self.count * self.width)


Chosen = list[tuple[int, Rows, NDArray[np.int64] | None]]
"""Of each batch: its number, the rows wanted of it, and where they stand in the output (None is all of it)."""


class Gatherer:
    """Gathers rows of `batches`, which have one schema and whose columns all have a layout."""

    def __init__(self, batches: Sequence[pa.RecordBatch]) -> None:
        self._schema = batches[0].schema
        self._columns = [[_prepare(batch.column(number)) for batch in batches] for number in range(len(self._schema))]

    def take(self, rows: Rows, arenas: Arenas, batches: NDArray[np.int64] | None = None) -> pa.RecordBatch:
        """The rows with these indices, in this order, row i of batch `batches[i]` (None is the first batch).

        Valid for as long as something refers to them.
        """
        chosen: Chosen = [(0, rows, None)] if batches is None else _by_batch(rows, batches)
        plans = [_plan(sources, chosen, len(rows)) for sources in self._columns]
        memory, arena = arenas.lend(sum(sum(plan.sizes) for plan in plans))
        arrays, at = [], 0
        for plan, field in zip(plans, self._schema, strict=True):
            arrays.append(_copy(plan, field.type, len(rows), arena, memory, at))
            at += sum(plan.sizes)
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)


def _by_batch(rows: Rows, batches: NDArray[np.int64]) -> Chosen:
    places = [(int(number), np.flatnonzero(batches == number)) for number in np.unique(batches)]
    return [(number, rows[place], place) for number, place in places]


def _prepare(column: pa.Array) -> _Source:
    kind = layout(column.type)
    if kind is None:
        raise ValueError(f"expected a column of plain bytes, got {column.type}")
    if not kind.ragged:
        return _Source(elements(column), None)
    lengths, data = lengths_and_elements(column)
    return _Source(data, np.concatenate([[0], np.cumsum(lengths)]))


def _plan(sources: list[_Source], chosen: Chosen, rows: int) -> _Plan:
    width = sources[0].elements.shape[1]
    if sources[0].starts is None:
        return _Plan([_Part(sources[number].elements, index, place) for number, index, place in chosen], rows, width)
    lengths = np.zeros(rows, np.int64)
    for number, wanted, place in chosen:
        starts = sources[number].starts
        assert starts is not None
        lengths[slice(None) if place is None else place] = starts[wanted + 1] - starts[wanted]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    parts = [_ragged(sources[number], wanted, place, lengths, offsets) for number, wanted, place in chosen]
    return _Plan(parts, int(offsets[-1]), width, offsets.astype(np.int32))


def _ragged(
    source: _Source, rows: Rows, place: NDArray[np.int64] | None, lengths: Rows, offsets: NDArray[np.int64]
) -> _Part:
    """The elements of these rows; the output's `lengths` [rows] and `offsets` [rows + 1] say where each row's go."""
    assert source.starts is not None
    mine = slice(None) if place is None else place
    counts, begins = lengths[mine], offsets[:-1][mine]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    index = np.repeat(source.starts[rows], counts) + within
    return _Part(source.elements, index, None if place is None else np.repeat(begins, counts) + within)


def _copy(plan: _Plan, kind: pa.DataType, rows: int, arena: pa.Buffer, memory: Bytes, at: int) -> pa.Array:
    head, _ = plan.sizes
    size = plan.count * plan.width
    out = memory[at + head : at + head + size].reshape(plan.count, plan.width)
    for part in plan.parts:
        if part.place is None:  # "raise" would copy the whole output once more
            np.take(part.source, part.index, axis=0, out=out, mode="clip")
        else:
            out[part.place] = part.source[part.index]
    data = arena.slice(at + head, size)
    if plan.offsets is None:
        return assemble(kind, rows, data)
    memory[at : at + plan.offsets.nbytes] = plan.offsets.view(np.uint8)
    return assemble_ragged(kind, rows, arena.slice(at, plan.offsets.nbytes), plan.count, data)


def _aligned(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN
