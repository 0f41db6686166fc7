"""The Parquet shards of a table: which there are, what is in them, and reading them with their checksums verified.

A shard is known by the sha256 of its bytes. Hashing a file costs a read of it, so hashes are remembered by size, time
and inode: a shard rewritten in place within the same nanosecond would be missed, one that is renamed over is not.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from nymph.errors import NymphError
from nymph.files import fingerprint, read_json, sha256_file, write_json

Stamp = tuple[int, int, int]
HIDDEN = (".", "_")
"""How names begin of files and folders beside the shards that are none."""


@dataclass(frozen=True)
class Shard:
    """One Parquet file of a table."""

    path: Path
    rows: int
    stamp: Stamp
    """Size in bytes, modification time in ns, inode."""


def find_shards(location: Path) -> list[Path]:
    """The Parquet files directly in a folder, sorted by name, or the one file; hidden ones and links are left out."""
    try:
        with os.scandir(location) as entries:  # tells what each is: listing many tables is mostly asking that
            names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
    except NotADirectoryError:
        return [location]
    except OSError:
        return []
    return [location / name for name in sorted(names) if name.endswith(".parquet") and not name.startswith(HIDDEN)]


def stamp(path: Path) -> Stamp:
    """What changes when a file is replaced; NymphError where it is gone."""
    try:
        status = path.stat()
    except OSError as error:
        raise NymphError(f"cannot read {path.name!r}: {error.strerror}") from None
    return status.st_size, status.st_mtime_ns, status.st_ino


def read_shards(location: Path) -> tuple[list[Shard], pa.Schema]:
    """The shards of a table and their common schema, from the footers; NymphError names the shard that differs."""
    shards: list[Shard] = []
    schema: pa.Schema | None = None
    for path in find_shards(location):
        mark = stamp(path)
        with open_parquet(path) as file:
            shards.append(Shard(path, file.metadata.num_rows, mark))
            found = file.schema_arrow
        schema = found if schema is None else schema
        if not found.equals(schema):
            raise NymphError(
                f"table {location.name!r}: expected every shard to have the schema of {shards[0].path.name!r}, "
                f"{path.name!r} differs: {_difference(schema, found)}"
            )
    if schema is None:
        raise NymphError(f"no table at {location}: expected a folder with .parquet files")
    return shards, schema


def open_parquet(path: Path) -> pq.ParquetFile:
    """A Parquet file whose page checksums are verified as it is read; NymphError where it is none."""
    try:
        return pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise NymphError(f"{path.name!r} is not a readable Parquet file: {_first_line(error)}") from None


def read_batches(
    shard: Shard, columns: Sequence[str] | None = None, groups: Sequence[int] | None = None, rows: int = 65_536
) -> Iterator[pa.RecordBatch]:
    """The batches of a shard, all or some of its row groups.

    NymphError where a page is damaged, or the file is another one than when the shard was found.
    """
    with open_parquet(shard.path) as file:
        if stamp(shard.path) != shard.stamp:
            raise NymphError(f"{shard.path.name!r} was replaced while it was read; begin again with the new one")
        try:
            yield from file.iter_batches(batch_size=rows, row_groups=groups, columns=columns, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise NymphError(f"{shard.path.name!r} is damaged: {_first_line(error)}; write it again") from None


def content_key(shards: Sequence[Shard], schema: pa.Schema, memory: Path) -> str:
    """32 hex digits for the content of a table: its schema and the sha256 of each shard, in order."""
    known = _remembered(memory)
    digests: dict[str, list] = {}
    for shard in shards:
        entry = known.get(shard.path.name)
        if entry is None or tuple(entry[:3]) != shard.stamp:
            entry = [*shard.stamp, sha256_file(shard.path)]
        digests[shard.path.name] = entry
    if digests != known:
        write_json(memory, digests)
    return fingerprint(1, schema.to_string(), [[name, entry[3]] for name, entry in digests.items()])


def _remembered(memory: Path) -> dict[str, list]:
    try:
        return dict(read_json(memory))
    except (OSError, ValueError):
        return {}


def _difference(first: pa.Schema, second: pa.Schema) -> str:
    for name in dict.fromkeys([*first.names, *second.names]):
        here = str(first.field(name).type) if name in first.names else "no such column"
        there = str(second.field(name).type) if name in second.names else "no such column"
        if here != there:
            return f"column {name!r} is {here} in the first and {there} in the other"
    return "the order or the nullability of its columns"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
