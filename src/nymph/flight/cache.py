"""The Arrow cache of a table: its rows once more, uncompressed, in one memory-mapped record batch beside the Parquet.

Decoding Parquet costs four to six times the processor time of serving; the cache pays it once, in disk space. One
record batch makes every row an address, so that any row can be gathered. Columns are spooled to disk first, so memory
stays flat whatever the table; for that moment the disk holds the rows twice.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa

from nymph.errors import NymphError
from nymph.files import PART, atomic_file, remove_leftovers
from nymph.flight.layout import Layout, assemble, assemble_ragged, elements, layouts, lengths_and_elements

FOLDER = ".arrow"
"""Name of the cache folder beside the shards; hidden, so no table is ever found in it."""


class NotFixedWidthError(ValueError):
    """The rows cannot be cached as plain bytes; the table is streamed instead."""


def open_cache(path: Path) -> pa.RecordBatch | None:
    """The memory-mapped batch in `path`, or None where there is none or it is not whole."""
    try:
        batch = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
        os.utime(path)  # eviction takes the longest unused first
    except (OSError, pa.ArrowException):
        return None
    return batch


def build_cache(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> pa.RecordBatch:
    """Write `batches` to `path` atomically and map them; NotFixedWidthError where a row is not plain bytes."""
    kinds = layouts(schema)
    if kinds is None:
        raise NotFixedWidthError(f"expected fixed-width columns, got {schema.to_string(show_field_metadata=False)}")
    spool = Path(tempfile.mkdtemp(prefix=PART, dir=path.parent))
    try:
        columns = [_Column(spool / str(number), kind) for number, kind in enumerate(kinds)]
        rows = _spool(columns, batches)
        arrays = [column.array(field.type, rows) for column, field in zip(columns, schema, strict=True)]
        with atomic_file(path) as file, pa.ipc.new_file(file, schema) as writer:
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    finally:
        shutil.rmtree(spool, ignore_errors=True)
    batch = open_cache(path)
    if batch is None:
        raise NymphError(f"the cache {path.name!r} was written and cannot be read: check the disk")
    return batch


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the only writer's lock of a cache folder; a killed holder frees it, and its leftovers are removed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise NymphError(f"cannot write the Arrow cache in {folder}: {error.strerror}; pass another folder") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        remove_leftovers(folder)
        yield


def evict(folders: Iterable[Path], limit: int, keep: Iterable[Path] = ()) -> list[Path]:
    """Remove the longest unused caches in `folders` until at most `limit` bytes stay; those in `keep` always stay."""
    kept = set(keep)
    caches = [(path.stat(), path) for folder in set(folders) for path in folder.glob("*.arrow")]
    total = sum(status.st_size for status, _ in caches)
    removed = []
    for status, path in sorted(caches, key=lambda cache: cache[0].st_mtime_ns):
        if total > limit and path not in kept:
            path.unlink(missing_ok=True)  # who has it mapped keeps it
            total -= status.st_size
            removed.append(path)
    return removed


class _Column:
    """One column on its way to disk: the bytes of its elements, and for a ragged one where each row starts."""

    def __init__(self, path: Path, kind: Layout) -> None:
        self._path, self._kind = path, kind
        self._offsets = path.with_suffix(".offsets")
        self._count = 0

    def open(self, stack: ExitStack) -> None:
        self._data: IO[bytes] = stack.enter_context(self._path.open("wb"))
        if self._kind.ragged:
            self._starts: IO[bytes] = stack.enter_context(self._offsets.open("wb"))
            self._starts.write(bytes(4))

    def append(self, column: pa.Array) -> None:
        if not self._kind.ragged:
            self._data.write(elements(column).data)
            return
        lengths, data = lengths_and_elements(column)
        ends = self._count + np.cumsum(lengths)
        self._count += len(data)
        if self._count > np.iinfo(np.int32).max:
            raise NotFixedWidthError("more than 2**31 list elements")
        self._starts.write(ends.astype(np.int32).data)
        self._data.write(data.data)

    def array(self, kind: pa.DataType, rows: int) -> pa.Array:
        if self._kind.ragged:
            return assemble_ragged(kind, rows, _mapped(self._offsets), self._count, _mapped(self._path))
        return assemble(kind, rows, _mapped(self._path))


def _spool(columns: list[_Column], batches: Iterable[pa.RecordBatch]) -> int:
    rows = 0
    with ExitStack() as stack:
        for column in columns:
            column.open(stack)
        for batch in batches:
            rows += batch.num_rows
            try:
                for column, array in zip(columns, batch.columns, strict=True):
                    column.append(array)
            except ValueError as error:
                raise NotFixedWidthError(str(error)) from None
    return rows


def _mapped(path: Path) -> pa.Buffer:
    if path.stat().st_size == 0:
        return pa.py_buffer(b"")
    with pa.memory_map(str(path)) as file:
        return file.read_buffer()
