"""Packed documents to Arrow: the rows themselves, and beside them where every position came from.

Columns are filled as numpy blocks [rows, T] and handed to Arrow without a copy.
"""

from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nymph.errors import NymphError
from nymph.sequences.document import ABSENT, Document, Segment
from nymph.sequences.schema import PATCH, PROSODY, SPEAKER

ORIGIN_SCHEMA = pa.schema(
    {
        "documents": pa.list_(
            pa.struct({"id": pa.string(), "task": pa.string(), "source": pa.string(), "positions": pa.uint32()})
        ),
        "timed": pa.list_(pa.uint32()),
        "start": pa.list_(pa.float32()),
        "end": pa.list_(pa.float32()),
    }
)
"""Row by row: the documents in order with their lengths, the positions that have a time, and their seconds."""


_MOST_DOCUMENTS = 2**15 - 1
"""As many as have a number in a row, and a speaker each."""


@dataclass
class Row:
    """Documents that share a row."""

    documents: list[Document] = field(default_factory=list)
    used: int = 0

    def add(self, document: Document) -> None:
        """Append a document."""
        self.documents.append(document)
        self.used += document.length

    def segments(self) -> list[tuple[int, Segment]]:
        """Every segment and the position it starts at."""
        segments = [segment for document in self.documents for segment in document.segments]
        return list(zip(accumulate(map(len, segments), initial=0), segments, strict=False))


def row_batch(rows: list[Row], schema: pa.Schema, context_length: int) -> pa.RecordBatch:
    """The rows as a batch of `schema`; positions without a document are padding."""
    columns = _empty_columns(len(rows), context_length, schema)
    vectors: list[list[NDArray[Any]]] = []
    positions: list[list[NDArray[Any]]] = []
    patches: list[list[NDArray[Any]]] = []
    for index, row in enumerate(rows):
        segments = row.segments()
        vectors.append(_fill_segments(columns, index, segments))
        _fill_documents(columns, index, row)
        patches.append([segment.audio for _, segment in segments if segment.audio is not None])
        positions.append([at + segment.audio_at for at, segment in segments if segment.audio_at is not None])
    arrays = {name: _fixed(values, schema.field(name).type) for name, values in columns.items()}
    single = [[vector[None] for vector in row] for row in vectors]
    arrays["speaker_vector"] = _ragged(single, np.float16, SPEAKER, schema.field("speaker_vector").type)
    arrays["audio_position"] = _ragged(positions, np.uint32, None, schema.field("audio_position").type)
    arrays["audio"] = _ragged(patches, np.float16, PATCH, schema.field("audio").type)
    return pa.RecordBatch.from_arrays([arrays[name] for name in schema.names], schema=schema)


def origin_batch(rows: list[Row]) -> pa.RecordBatch:
    """Where the rows' positions came from, as a batch of `ORIGIN_SCHEMA`."""
    documents = [
        [{"id": d.id, "task": d.task, "source": d.source, "positions": d.length} for d in row.documents] for row in rows
    ]
    timed = [_timed(row) for row in rows]
    columns = [documents, *([part[side] for part in timed] for side in range(3))]
    arrays = [pa.array(values, kind.type) for values, kind in zip(columns, ORIGIN_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=ORIGIN_SCHEMA)


def _timed(row: Row) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The positions of a row that have a time, and their start and end in seconds."""
    spans = [(at, segment.seconds) for at, segment in row.segments() if segment.seconds is not None]
    if not spans:
        return np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.float32)
    seconds = np.concatenate([span for _, span in spans])
    positions = np.concatenate([np.arange(at, at + len(span)) for at, span in spans])
    known = np.isfinite(seconds[:, 0])
    return positions[known], seconds[known, 0], seconds[known, 1]


def _empty_columns(rows: int, context_length: int, schema: pa.Schema) -> dict[str, NDArray[Any]]:
    """Padding everywhere."""
    shape = (rows, context_length)
    return {
        "tokens": np.zeros(shape, schema.field("tokens").type.value_type.to_pandas_dtype()),
        "modality": np.zeros(shape, np.uint8),
        "loss_weight": np.zeros(shape, np.float16),
        "document": np.zeros(shape, np.uint16),
        "sentiment": np.full(shape, ABSENT, np.int8),
        "speaker": np.full(shape, ABSENT, np.int16),
        "prosody": np.full((*shape, PROSODY), np.nan, np.float16),
    }


def _fill_segments(
    columns: dict[str, NDArray[Any]], index: int, segments: list[tuple[int, Segment]]
) -> list[NDArray[Any]]:
    """Write a row's segments into the columns; returns its speaker vectors, equal ones (the same array) once."""
    vectors: dict[int, NDArray[Any]] = {}
    places: dict[int, int] = {}
    for at, segment in segments:
        span = slice(at, at + len(segment))
        columns["tokens"][index, span] = segment.tokens
        columns["modality"][index, span] = segment.modality
        columns["loss_weight"][index, span] = segment.weight
        if segment.sentiment != ABSENT:
            columns["sentiment"][index, span] = segment.sentiment
        if segment.prosody is not None:
            columns["prosody"][index, span] = segment.prosody
        if segment.speaker is not None:
            key = id(segment.speaker)
            vectors[key] = segment.speaker
            columns["speaker"][index, span] = places.setdefault(key, len(places))
    return list(vectors.values())


def _fill_documents(columns: dict[str, NDArray[Any]], index: int, row: Row) -> None:
    """Number the documents; the first position of each has nothing before it to be predicted from."""
    if len(row.documents) > _MOST_DOCUMENTS:
        raise NymphError(
            f"a row holds {len(row.documents)} documents, more than {_MOST_DOCUMENTS}; shorten the context"
        )
    at = 0
    for number, document in enumerate(row.documents, 1):
        columns["document"][index, at : at + document.length] = number
        columns["loss_weight"][index, at] = 0
        at += document.length


def _fixed(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), type=kind)


def _ragged(parts: list[list[NDArray[Any]]], dtype: Any, width: int | None, kind: pa.DataType) -> pa.Array:
    lengths = [sum(map(len, row)) for row in parts]
    flat = [part for row in parts for part in row if len(part)]
    values = np.concatenate(flat).astype(dtype, copy=False) if flat else np.zeros((0, width) if width else 0, dtype)
    inner = pa.array(values.reshape(-1))
    items = inner if width is None else pa.FixedSizeListArray.from_arrays(inner, type=kind.value_type)
    return pa.ListArray.from_arrays(pa.array(np.cumsum([0, *lengths]), pa.int32()), items, type=kind)
