"""A folder with one Parquet file an item, and an index that says which of them the last whole run wanted.

Item files are named `<id>.<key>.parquet`, so outputs of earlier options stay beside today's and going back costs
nothing; `index.json` appears only when every item was made or quarantined, and remembers damage that lasts, so that a
broken recording is not decoded, let alone transcribed, by every run anew. One file an item costs an fsync each:
items should be recordings or documents, not sentences.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pyarrow as pa

from nymph.compute import PerItem
from nymph.console import carry_out
from nymph.errors import NymphError
from nymph.files import fingerprint, read_json, remove_leftovers, write_json
from nymph.parquet import iter_parquet, read_parquet, write_parquet
from nymph.stages import Failed, Item, Made, Work

_SAFE = re.compile(r"[0-9A-Za-z_-]{1,64}")


@dataclass(frozen=True)
class StoredItems:
    """What a stage made, item by item."""

    folder: Path
    keys: dict[str, str]
    """Item id -> key, in the stage's own order."""

    @classmethod
    def open(cls, folder: Path) -> "StoredItems":
        """The items of the last whole run.

        Raises:
            NymphError: the stage has not run to its end yet.
        """
        index = folder / "index.json"
        if not index.is_file():
            raise NymphError(f"{folder}: no index.json, so the stage that writes it has not finished; run it first")
        return cls(folder, dict(read_json(index)["items"]))

    @property
    def fingerprint(self) -> str:
        """Stands for the content of all items."""
        return fingerprint(sorted(self.keys.items()))

    def __contains__(self, id: str) -> bool:
        return id in self.keys

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys)

    def __len__(self) -> int:
        return len(self.keys)

    def path(self, id: str) -> Path:
        """The file of one item."""
        return item_path(self.folder, id, self.keys[id])

    def read(self, id: str, columns: list[str] | None = None) -> pa.Table:
        """One item, verified."""
        return read_parquet(self.path(id), columns)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All items' rows, one item after another."""
        for id in self:
            yield from iter_parquet(self.path(id))


def item_path(folder: Path, id: str, key: str) -> Path:
    """Where an item's output lies.

    Raises:
        NymphError: the id could leave the folder.
    """
    for part in (id, key):
        if not _SAFE.fullmatch(part):
            raise NymphError(f"expected an item name of letters, digits, '_' and '-', got {part!r}")
    return folder / f"{id}.{key}.parquet"


def save_items(folder: Path, work: Work) -> None:
    """Make the missing items, each whole on disk before the next, then commit the index."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    if isinstance(work.make, PerItem):
        work = replace(work, make=work.make.storing(partial(_store, folder)))
    for outcome in carry_out(work, lambda item: item_path(folder, item.id, item.key).is_file(), _damaged(folder)):
        if isinstance(outcome, Made) and outcome.value is not None:
            _write(folder, work, outcome)
    order = {item.id: place for place, item in enumerate(work.items)}
    work.tally.failures.sort(key=lambda failure: order[failure.item.id])
    _commit_index(folder, work)


def _write(folder: Path, work: Work, made: Made) -> None:
    """Write one output; what fails on the way is quarantined like any failure."""
    try:
        _store(folder, made.item, made.value)
    except NymphError as error:
        work.tally.spoil(made.item, error)


def _store(folder: Path, item: Item, value: pa.Table | pa.RecordBatchReader) -> None:
    """Put a table or a stream of batches where the item's output lies."""
    batches = [value] if isinstance(value, pa.Table) else value
    write_parquet(item_path(folder, item.id, item.key), value.schema, batches)


def _damaged(folder: Path) -> dict[str, Failed]:
    """Item id -> the lasting failure of the last whole run."""
    index = folder / "index.json"
    damaged = read_json(index).get("damaged", {}) if index.is_file() else {}
    return {
        id: Failed(Item(id, known["key"]), known["reason"], known["message"], lasting=True)
        for id, known in damaged.items()
    }


def _commit_index(folder: Path, work: Work) -> None:
    failed = {failure.item.id: failure for failure in work.tally.failures}
    items = {item.id: item.key for item in work.items if item.id not in failed}
    damaged = {
        id: {"key": failure.item.key, "reason": failure.reason, "message": failure.message}
        for id, failure in failed.items()
        if failure.lasting
    }
    index, content = folder / "index.json", {"items": items, "damaged": damaged, "stage": work.stage}
    if not index.is_file() or read_json(index) != content:
        write_json(index, content)


def prune(folder: Path) -> int:
    """Delete item files that the index no longer names; returns how many."""
    stored = StoredItems.open(folder)
    wanted = {stored.path(id).name for id in stored}
    stale = [path for path in folder.glob("*.parquet") if path.name not in wanted]
    for path in stale:
        path.unlink()
    return len(stale)
