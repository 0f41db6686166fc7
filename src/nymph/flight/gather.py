"""Rows by index out of one memory-mapped batch, into buffers that are used again.

Fresh memory costs a page fault every 4 KiB, as much as the copy itself. So batches are written into a few arenas; an
arena comes back when the last Arrow buffer over it is gone, wherever it went (the socket, a tensor, another thread).
"""

from collections import deque
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
class _Plan:
    """Where one column's rows come from and how many bytes they take in the arena."""

    index: NDArray[np.int64]
    source: Bytes
    offsets: NDArray[np.int32] | None = None

    @property
    def sizes(self) -> tuple[int, int]:
        """Bytes of the offsets and of the elements, each rounded up to Arrow's alignment."""
        offsets = 0 if self.offsets is None else self.offsets.nbytes
        return _aligned(offsets), _aligned(len(self.index) * self.source.shape[1])


class Gatherer:
    """Gathers rows of `batch`, whose columns all have a layout."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._schema = batch.schema
        self._columns = [_prepare(column) for column in batch.columns]

    def take(self, rows: Rows, arenas: Arenas) -> pa.RecordBatch:
        """The rows with these indices, in this order; valid for as long as something refers to them."""
        plans = [_plan(starts, source, rows) for starts, source in self._columns]
        memory, arena = arenas.lend(sum(sum(plan.sizes) for plan in plans))
        arrays, at = [], 0
        for plan, field in zip(plans, self._schema, strict=True):
            arrays.append(_copy(plan, field.type, len(rows), arena, memory, at))
            at += sum(plan.sizes)
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)


def _prepare(column: pa.Array) -> tuple[NDArray[np.int64] | None, Bytes]:
    """Start of each row's elements (None where every row is one element), and the elements."""
    kind = layout(column.type)
    if kind is None:
        raise ValueError(f"expected a column of plain bytes, got {column.type}")
    if not kind.ragged:
        return None, elements(column)
    lengths, data = lengths_and_elements(column)
    return np.concatenate([[0], np.cumsum(lengths)]), data


def _plan(starts: NDArray[np.int64] | None, source: Bytes, rows: Rows) -> _Plan:
    if starts is None:
        return _Plan(rows, source)
    first, lengths = starts[rows], starts[rows + 1] - starts[rows]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    index = np.repeat(first - offsets[:-1], lengths) + np.arange(offsets[-1])
    return _Plan(index, source, offsets.astype(np.int32))


def _copy(plan: _Plan, kind: pa.DataType, rows: int, arena: pa.Buffer, memory: Bytes, at: int) -> pa.Array:
    count, width = len(plan.index), plan.source.shape[1]
    head, _ = plan.sizes
    out = memory[at + head : at + head + count * width].reshape(count, width)
    np.take(plan.source, plan.index, axis=0, out=out, mode="clip")  # "raise" would copy the whole output once more
    data = arena.slice(at + head, count * width)
    if plan.offsets is None:
        return assemble(kind, rows, data)
    memory[at : at + plan.offsets.nbytes] = plan.offsets.view(np.uint8)
    return assemble_ragged(kind, rows, arena.slice(at, plan.offsets.nbytes), count, data)


def _aligned(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN
