"""Packed documents to Arrow: the rows themselves, and beside them where every position came from.

Columns are filled as numpy blocks [rows, T] and handed to Arrow without a copy.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nymph.errors import NymphError
from nymph.sequences.document import ABSENT, Document
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

_MOST_DOCUMENTS = 2**16 - 1
_MOST_SPEAKERS = 2**15 - 1


@dataclass
class Row:
    """Documents that share a row."""

    documents: list[Document] = field(default_factory=list)
    used: int = 0

    def add(self, document: Document) -> None:
        """Append a document."""
        self.documents.append(document)
        self.used += len(document)


def row_batch(rows: list[Row], schema: pa.Schema, context_length: int) -> pa.RecordBatch:
    """The rows as a batch of `schema`; positions without a document are padding."""
    for row in rows:
        _check_limits(row)
    shape = (len(rows), context_length)
    columns = {
        "tokens": np.zeros(shape, schema.field("tokens").type.value_type.to_pandas_dtype()),
        "modality": np.zeros(shape, np.uint8),
        "loss_weight": np.zeros(shape, np.float16),
        "document": np.zeros(shape, np.uint16),
        "sentiment": np.full(shape, ABSENT, np.int8),
        "speaker": np.full(shape, ABSENT, np.int16),
        "prosody": np.full((*shape, PROSODY), np.nan, np.float16),
    }
    for index, row in enumerate(rows):
        _fill(columns, index, row)
    arrays = {name: _fixed(values, schema.field(name).type) for name, values in columns.items()}
    vectors = [[document.speaker_vectors for document in row.documents] for row in rows]
    positions = [[start + d.audio_position for start, d in _placed(row)] for row in rows]
    patches = [[document.audio for document in row.documents] for row in rows]
    arrays["speaker_vector"] = _ragged(vectors, np.float16, SPEAKER, schema.field("speaker_vector").type)
    arrays["audio_position"] = _ragged(positions, np.uint32, None, schema.field("audio_position").type)
    arrays["audio"] = _ragged(patches, np.float16, PATCH, schema.field("audio").type)
    return pa.RecordBatch.from_arrays([arrays[name] for name in schema.names], schema=schema)


def origin_batch(rows: list[Row]) -> pa.RecordBatch:
    """Where the rows' positions came from, as a batch of `ORIGIN_SCHEMA`."""
    documents = [
        [{"id": d.id, "task": d.task, "source": d.source, "positions": len(d)} for d in row.documents] for row in rows
    ]
    seconds = [np.concatenate([document.seconds for document in row.documents]) for row in rows]
    timed = [np.flatnonzero(np.isfinite(spans[:, 0])) for spans in seconds]
    columns = [
        documents,
        timed,
        *([spans[at, side] for spans, at in zip(seconds, timed, strict=True)] for side in (0, 1)),
    ]
    arrays = [pa.array(values, kind.type) for values, kind in zip(columns, ORIGIN_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=ORIGIN_SCHEMA)


def _placed(row: Row) -> list[tuple[int, Document]]:
    starts = np.cumsum([0, *(len(document) for document in row.documents)]).tolist()
    return list(zip(starts, row.documents, strict=False))


def _fill(columns: dict[str, NDArray[Any]], index: int, row: Row) -> None:
    speakers = 0
    for number, (start, document) in enumerate(_placed(row), 1):
        span = slice(start, start + len(document))
        for name in ("tokens", "modality", "loss_weight", "sentiment", "prosody"):
            columns[name][index, span] = getattr(document, name)
        columns["document"][index, span] = number
        if len(document.speaker_vectors):
            known = document.speaker >= 0
            columns["speaker"][index, span] = np.where(known, document.speaker + speakers, ABSENT)
            speakers += len(document.speaker_vectors)


def _fixed(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), type=kind)


def _ragged(parts: list[list[NDArray[Any]]], dtype: Any, width: int | None, kind: pa.DataType) -> pa.Array:
    lengths = [sum(map(len, row)) for row in parts]
    flat = [part for row in parts for part in row if len(part)]
    values = np.concatenate(flat).astype(dtype, copy=False) if flat else np.zeros((0, width) if width else 0, dtype)
    inner = pa.array(values.reshape(-1))
    items = inner if width is None else pa.FixedSizeListArray.from_arrays(inner, type=kind.value_type)
    return pa.ListArray.from_arrays(pa.array(np.cumsum([0, *lengths]), pa.int32()), items, type=kind)


def _check_limits(row: Row) -> None:
    vectors = sum(len(document.speaker_vectors) for document in row.documents)
    if len(row.documents) > _MOST_DOCUMENTS or vectors > _MOST_SPEAKERS:
        raise NymphError(
            f"a row holds {len(row.documents)} documents and {vectors} speaker vectors, more than {_MOST_DOCUMENTS} "
            f"and {_MOST_SPEAKERS}; use a smaller context_length"
        )
