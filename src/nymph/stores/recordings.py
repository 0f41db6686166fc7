"""The table of recordings: one row for every recording, document and conversation found under data/01_raw.

`unit` groups the rows that later stages keep in one file: a recording or a text is its own unit, runs of JSON lines
share one. `file_key` lets a rerun take over the rows of unchanged files without opening them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nymph.console import carry_out
from nymph.errors import NymphError
from nymph.files import fingerprint, remove_leftovers
from nymph.parquet import iter_parquet, open_parquet, read_parquet, write_parquet
from nymph.stages import Made, Work
from nymph.stores.quarantine import load_failures, write_failures

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
        ("unit", pa.string()),  # what later stages keep in one file: a recording, a text, a run of JSON lines
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


_LIGHT = [name for name in RECORDING_SCHEMA.names if name not in ("text", "messages", "segments")]
_WORDS = 2_000_000
"""Words of a row group: long documents must not make one that fills memory."""


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
        for batch in iter_parquet(self.filepath, _LIGHT):
            for row in batch.to_pylist():
                row["has_text"] = row["kind"] != "speech" or row["given"] is not None
                if row["id"] not in seen and (not kinds or row["kind"] in kinds):
                    units.setdefault(row["unit"], []).append(row)
                seen.add(row["id"])
        return units

    def read_unit(self, unit: str) -> Iterator[dict[str, Any]]:
        """A unit's rows, whole; of equal contents only the first. Cheap for units asked for in their order."""
        seen: set[str] = set()
        stamp = self.filepath.stat().st_mtime_ns
        places = _places(self.filepath, stamp)
        for number in places.groups.get(unit, ()):
            group = _row_group(self.filepath, stamp, number)
            for row in group.filter(pc.equal(group["unit"], unit)).to_pylist():
                if row["id"] not in seen and (unit, row["id"]) not in places.again:
                    seen.add(row["id"])
                    yield row


@dataclass(frozen=True)
class _Places:
    groups: dict[str, tuple[int, ...]]
    """Unit -> the row groups that hold its rows."""
    again: set[tuple[str, str]]
    """Unit and id of rows whose content another unit has before."""


@lru_cache(maxsize=1)
def _places(filepath: Path, stamp: int) -> _Places:
    """Where the rows of each unit lie. `stamp` tells one state of the file from the next."""
    places, first = _Places({}, set()), dict[str, str]()
    with open_parquet(filepath) as file:
        for number in range(file.num_row_groups):
            group = file.read_row_group(number, ["unit", "id"])
            for unit in group["unit"].unique().to_pylist():
                places.groups[unit] = (*places.groups.get(unit, ()), number)
            for unit, id in zip(group["unit"].to_pylist(), group["id"].to_pylist(), strict=True):
                if first.setdefault(id, unit) != unit:
                    places.again.add((unit, id))
    return places


@lru_cache(maxsize=1)
def _row_group(filepath: Path, stamp: int, number: int) -> pa.Table:
    """The group read last: a scan of the whole table for each unit would cost the square of their number."""
    with open_parquet(filepath) as file:
        return file.read_row_group(number)


def save_recordings(filepath: Path, work: Work) -> None:
    """Write the table anew: rows of unchanged files are taken over in their order, the rest is made.

    An item's key is its `file_key`, its value the file's rows; the work must yield outcomes in the order of its items.
    """
    remove_leftovers(filepath.parent, filepath.name)
    kept = set(read_parquet(filepath, ["file_key"])["file_key"].to_pylist()) if filepath.is_file() else set()
    if filepath.is_file() and kept == {item.key for item in work.items}:
        list(carry_out(work, lambda item: True))
        work.tally.recall(load_failures(failures_path(filepath)))
        return
    write_parquet(filepath, RECORDING_SCHEMA, _batches(_merged(filepath, work, kept)))


def failures_path(filepath: Path) -> Path:
    """Where the failures inside the files of a table are kept: bad lines of a file that is not read again.

    The quarantine is written after the table. A kill in between would lose them for good, were they not here.
    """
    return filepath.with_suffix(".failures.parquet")


def _merged(filepath: Path, work: Work, kept: set[str]) -> Iterator[dict[str, Any]]:
    """All rows in order; at their end, before the table gets its name, the failures are on disk."""
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
    work.tally.recall(load_failures(failures_path(filepath)))
    write_failures(failures_path(filepath), work.stage, work.tally.failures)


def _old_rows(filepath: Path) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
    rows = (row for batch in iter_parquet(filepath) for row in batch.to_pylist())
    return groupby(rows, key=lambda row: row["file_key"])


def _batches(rows: Iterable[dict[str, Any]], size: int = 4096) -> Iterator[pa.RecordBatch]:
    pending: list[dict[str, Any]] = []
    words = 0
    for row in rows:
        pending.append(row)
        words += row.get("words") or 0
        if len(pending) == size or words >= _WORDS:
            yield pa.RecordBatch.from_pylist(pending, RECORDING_SCHEMA)
            pending, words = [], 0
    if pending:
        yield pa.RecordBatch.from_pylist(pending, RECORDING_SCHEMA)
