"""The table of recordings: one row for every recording, document and conversation found under data/01_raw.

`unit` groups the rows that later stages keep in one file: a recording is its own unit, the documents of a text or
JSONL file share their file's. `file_key` lets a rerun take over the rows of unchanged files without opening them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from nymph.console import carry_out
from nymph.errors import NymphError
from nymph.files import fingerprint
from nymph.parquet import iter_parquet, read_parquet, write_parquet
from nymph.stages import Made, Work

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))

SEGMENTS = pa.list_(
    pa.struct(
        [
            ("text", pa.string()),
            ("start", pa.float64()),  # seconds
            ("end", pa.float64()),
            ("speaker", pa.string()),
            (
                "words",
                pa.list_(pa.struct([("word", pa.string()), ("start", pa.float64()), ("end", pa.float64())])),
            ),
        ]
    )
)
"""A transcript that came with a recording, as far as it knows times and speakers."""

RECORDING_SCHEMA = pa.schema(
    [
        ("id", pa.string()),  # 32 hex digits of the sha256 of the file's or the line's bytes
        ("unit", pa.string()),  # id of the file's bytes: what later stages keep together
        ("kind", pa.string()),  # speech, text, chat
        ("source", pa.string()),  # path relative to the raw folder
        ("line", pa.int32()),  # line in a JSONL file, from 1
        ("bytes", pa.int64()),
        ("container", pa.string()),
        ("codec", pa.string()),
        ("sample_rate", pa.int32()),  # Hz
        ("channels", pa.int16()),
        ("duration_s", pa.float64()),
        ("language", pa.string()),
        ("text", pa.string()),  # a document's text, or a recording's given transcript
        ("messages", MESSAGES),  # a conversation
        ("segments", SEGMENTS),  # a given transcript in pieces
        ("given", pa.string()),  # stands for the given transcript: another one is another input
        ("timed", pa.string()),  # what the given transcript times: words, utterances or nothing
        ("words", pa.int64()),  # of text or messages
        ("turns", pa.int32()),  # of a conversation
        ("speakers", pa.list_(pa.string())),  # whom a given transcript names
        ("file_key", pa.string()),  # size, modification time and options: unchanged means nothing is reread
    ],
    metadata={"nymph.schema": "recordings/2"},
)


@dataclass(frozen=True)
class Recordings:
    """The recordings of a corpus, each content once."""

    filepath: Path

    @classmethod
    def open(cls, filepath: Path) -> "Recordings":
        """The table of the last ingestion.

        Raises:
            NymphError: nothing was ingested yet.
        """
        if not filepath.is_file():
            raise NymphError(f"{filepath}: not there yet; run `kedro run --pipelines ingestion` first")
        return cls(filepath)

    @property
    def fingerprint(self) -> str:
        """Stands for the content of the corpus, not for its file names."""
        return fingerprint(sorted(read_parquet(self.filepath, ["id"])["id"].to_pylist()))

    def reader(self) -> pa.RecordBatchReader:
        """All rows as a stream, duplicates by content included."""
        return pa.RecordBatchReader.from_batches(RECORDING_SCHEMA, iter_parquet(self.filepath))

    def units(self, *kinds: str) -> dict[str, list[dict[str, Any]]]:
        """Rows grouped by unit in the order of their sources, of equal contents only the first.

        Texts, messages and segments are left out, so that a large corpus fits in memory; `read_unit` gives them, and
        `has_text` says whether there are any.
        """
        seen: set[str] = set()
        units: dict[str, list[dict[str, Any]]] = {}
        for batch in self.reader():
            for row in _light(batch).to_pylist():
                if row["id"] not in seen and (not kinds or row["kind"] in kinds):
                    units.setdefault(row["unit"], []).append(row)
                seen.add(row["id"])
        return units

    def read_unit(self, unit: str) -> Iterator[dict[str, Any]]:
        """A unit's rows, whole; of equal contents only the first."""
        seen: set[str] = set()
        for batch in ds.dataset(self.filepath).to_batches(filter=pc.field("unit") == unit):
            for row in batch.to_pylist():
                if row["id"] not in seen:
                    seen.add(row["id"])
                    yield row


def _light(batch: pa.RecordBatch) -> pa.RecordBatch:
    has_text = pc.or_(pc.is_valid(batch["text"]), pc.is_valid(batch["messages"]))
    return batch.drop_columns(["text", "messages", "segments"]).append_column("has_text", has_text)


def save_recordings(filepath: Path, work: Work) -> None:
    """Write the table anew: rows of unchanged files are taken over in their order, the rest is made.

    An item's key is its `file_key`, its value the file's rows; the work must yield outcomes in the order of its items.
    """
    kept = set(read_parquet(filepath, ["file_key"])["file_key"].to_pylist()) if filepath.is_file() else set()
    wanted = [item.key for item in work.items]
    if filepath.is_file() and kept.issuperset(wanted) and kept.issubset(wanted):
        list(carry_out(work, lambda item: True))
        return
    write_parquet(filepath, RECORDING_SCHEMA, _batches(_merged(filepath, work, kept)))


def _merged(filepath: Path, work: Work, kept: set[str]) -> Iterator[dict[str, Any]]:
    outcomes = carry_out(work, lambda item: item.key in kept)
    old = _old_rows(filepath) if kept else iter(())
    for item in work.items:
        if item.key in kept:
            yield from next(rows for key, rows in old if key == item.key)
            continue
        outcome = next(outcomes)
        if isinstance(outcome, Made):
            yield from ({**row, "file_key": item.key} for row in outcome.value)
    list(outcomes)


def _old_rows(filepath: Path) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
    rows = (row for batch in iter_parquet(filepath) for row in batch.to_pylist())
    return groupby(rows, key=lambda row: row["file_key"])


def _batches(rows: Iterable[dict[str, Any]], size: int = 4096) -> Iterator[pa.RecordBatch]:
    pending: list[dict[str, Any]] = []
    for row in rows:
        pending.append(row)
        if len(pending) == size:
            yield pa.RecordBatch.from_pylist(pending, RECORDING_SCHEMA)
            pending = []
    if pending:
        yield pa.RecordBatch.from_pylist(pending, RECORDING_SCHEMA)
