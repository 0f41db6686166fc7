"""What could not be used, and why: one table a stage, rewritten whole by each run of that stage."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from nymph.files import remove_leftovers
from nymph.parquet import read_parquet, write_parquet
from nymph.stages import Failed, Item, Work

QUARANTINE_SCHEMA = pa.schema(
    [
        ("stage", pa.string()),
        ("id", pa.string()),
        ("key", pa.string()),
        ("source", pa.string()),
        ("line", pa.int32()),
        ("reason", pa.string()),
        ("message", pa.string()),
    ]
)


@dataclass(frozen=True)
class Quarantine:
    """The failures of one piece of work; complete once that work has been saved."""

    work: Work


def save_quarantine(filepath: Path, quarantine: Quarantine) -> None:
    """Write the failures of this run and, for items it did not touch, those of earlier runs."""
    remove_leftovers(filepath.parent, filepath.name)
    quarantine.work.tally.recall(load_failures(filepath))
    write_failures(filepath, quarantine.work.stage, quarantine.work.tally.failures)


def write_failures(filepath: Path, stage: str, failures: Iterable[Failed]) -> None:
    """Write a quarantine table, in the order of sources and lines whatever the order of the failures."""
    rows = [_row(stage, failure) for failure in failures]
    rows.sort(key=lambda row: (row["source"], row["line"] or 0, row["id"]))
    write_parquet(filepath, QUARANTINE_SCHEMA, [pa.Table.from_pylist(rows, QUARANTINE_SCHEMA)])


def load_failures(filepath: Path) -> list[Failed]:
    """The failures in a quarantine table; none where there is no table."""
    return failures_of(read_parquet(filepath)) if filepath.is_file() else []


def failures_of(table: pa.Table) -> list[Failed]:
    """The failures in a table of `QUARANTINE_SCHEMA`."""
    return [
        Failed(Item(row["id"], row["key"], source=row["source"]), row["reason"], row["message"], row["line"])
        for row in table.to_pylist()
    ]


def _row(stage: str, failure: Failed) -> dict[str, Any]:
    return {
        "stage": stage,
        "id": failure.item.id,
        "key": failure.item.key,
        "source": failure.item.source,
        "line": failure.line,
        "reason": failure.reason,
        "message": failure.message,
    }
