"""Arrow columns as plain rows of bytes: what can be gathered by index without looking inside.

Two shapes are known: every row of the same width (numbers, fixed-size lists of them) and lists of such elements.
Everything else (strings, booleans, nulls, structs) has no layout and is streamed instead.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Layout:
    """`width` bytes an element; a ragged column has any number of elements a row."""

    width: int
    ragged: bool = False


def layout(kind: pa.DataType) -> Layout | None:
    """How a column of this type lies in memory, or None where its rows are not plain bytes."""
    width = _width(kind)
    if width:
        return Layout(width)
    if pa.types.is_list(kind) and (width := _width(kind.value_type)):
        return Layout(width, ragged=True)
    return None


def layouts(schema: pa.Schema) -> list[Layout] | None:
    """The layout of every column, or None where one has none."""
    found = [layout(field.type) for field in schema]
    return None if not found or None in found else [each for each in found if each is not None]


def elements(column: pa.Array) -> Bytes:
    """The bytes of a fixed-width column without copying, [rows, width]; ValueError where a value is null."""
    width = _width(column.type)
    count = len(column)
    while pa.types.is_fixed_size_list(column.type):
        _no_nulls(column)
        column = column.flatten()
    _no_nulls(column)
    if count == 0:
        return np.empty((0, width), np.uint8)
    leaf = column.type.bit_width // 8
    data = np.frombuffer(column.buffers()[1], np.uint8, count * width, column.offset * leaf)
    return data.reshape(count, width)


def lengths_and_elements(column: pa.ListArray) -> tuple[NDArray[np.int64], Bytes]:
    """Elements of each row [rows], and all elements [elements, width]; ValueError where a value is null."""
    _no_nulls(column)
    offsets = column.offsets.to_numpy().astype(np.int64)
    return np.diff(offsets), elements(column.flatten())


def assemble(kind: pa.DataType, rows: int, data: pa.Buffer) -> pa.Array:
    """A fixed-width column of `rows` rows over `data`, without copying."""
    if pa.types.is_fixed_size_list(kind):
        child = assemble(kind.value_type, rows * kind.list_size, data)
        return pa.Array.from_buffers(kind, rows, [None], null_count=0, children=[child])
    return pa.Array.from_buffers(kind, rows, [None, data], null_count=0)


def assemble_ragged(kind: pa.DataType, rows: int, offsets: pa.Buffer, count: int, data: pa.Buffer) -> pa.Array:
    """A list column of `rows` rows over int32 `offsets` and `count` elements in `data`, without copying."""
    child = assemble(kind.value_type, count, data)
    return pa.Array.from_buffers(kind, rows, [None, offsets], null_count=0, children=[child])


def _width(kind: pa.DataType) -> int:
    """Bytes of one value, 0 where that is not a whole and fixed number."""
    if pa.types.is_fixed_size_list(kind):
        return _width(kind.value_type) * kind.list_size
    plain = pa.types.is_primitive(kind) or pa.types.is_fixed_size_binary(kind) or pa.types.is_decimal(kind)
    return kind.bit_width // 8 if plain and kind.bit_width % 8 == 0 else 0


def _no_nulls(column: pa.Array) -> None:
    if column.null_count:
        raise ValueError(f"expected no nulls in a column of {column.type}, got {column.null_count}")
