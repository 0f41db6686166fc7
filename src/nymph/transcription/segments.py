"""Segments of any unit in one schema: transcribed speech, given transcripts, documents and conversations."""

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from nymph.transcription.given import given_utterances
from nymph.transcription.schema import WORD

SEGMENT_SCHEMA = pa.schema(
    [
        ("recording", pa.string()),
        ("index", pa.int32()),
        ("kind", pa.string()),  # speech, text, chat
        ("role", pa.string()),
        ("start", pa.float64()),  # seconds
        ("end", pa.float64()),
        ("text", pa.string()),
        ("language", pa.string()),
        ("speaker", pa.string()),
        ("words", pa.list_(WORD)),
        ("confidence", pa.float32()),
    ],
    metadata={"nymph.schema": "segments/1"},
)


def spoken_segments(recording: str, transcript: pa.Table) -> pa.Table:
    """A transcription's rows as segments of `recording`."""
    rows = transcript.num_rows
    columns = {
        "recording": pa.repeat(recording, rows),
        "kind": pa.repeat("speech", rows),
        **{name: transcript[name] for name in transcript.column_names},
    }
    arrays = [_column(columns, field, rows) for field in SEGMENT_SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SEGMENT_SCHEMA)


def _column(columns: dict[str, Any], field: pa.Field, rows: int) -> Any:
    column = columns.get(field.name)
    return pa.nulls(rows, field.type) if column is None else column.cast(field.type)


def given_segments(rows: Iterable[dict[str, Any]]) -> pa.Table:
    """Segments of recordings whose words came with them, and of documents and conversations."""
    return pa.Table.from_pylist([segment for row in rows for segment in _segments(row)], SEGMENT_SCHEMA)


def _segments(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    common = {"recording": row["id"], "kind": row["kind"], "language": row["language"]}
    if row["kind"] == "chat":
        for index, message in enumerate(row["messages"]):
            yield {**common, "index": index, "role": message["role"], "text": message["content"]}
    elif row["kind"] == "speech":
        for index, said in enumerate(given_utterances(row["segments"], row["duration_s"])):
            yield {**common, "index": index, **said}
    else:
        yield {**common, "index": 0, "text": row["text"]}
