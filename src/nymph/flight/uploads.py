"""Uploads: Parquet shards that appear whole or not at all, under the roots that allow it."""

import errno
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.flight as fl
import pyarrow.parquet as pq

from nymph.errors import NymphError
from nymph.files import atomic_file
from nymph.flight.failures import reason
from nymph.flight.shards import find_shards, open_parquet

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DEPTH = 8
_LEAVES = (
    pa.types.is_primitive,
    pa.types.is_decimal,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_binary,
    pa.types.is_large_binary,
)


class Uploads:
    """Writes shards under `roots`; nothing outside them, no links followed.

    A shard has at most `limit` bytes, one message of it `message` bytes.
    """

    def __init__(self, roots: Mapping[str, Path], limit: int, message: int) -> None:
        self._roots = {name: path.resolve() for name, path in roots.items()}
        self._limit, self._message = limit, message

    def write(self, name: str, reader: fl.MetadataRecordBatchReader, cut: Callable[[], bool]) -> int:
        """Write `reader` as the shard `root/folders/name.parquet`, replacing one of that name; its bytes.

        `cut` says whether the sender is gone: to Arrow, a sender that died looks like one that is done.
        NymphError for a name that is not allowed, a schema unlike the table's, columns whose values are not written out
        (null, dictionary, run-end or view types), too many bytes, a full disk.
        """
        path = shard_path(self._roots, name)
        _spelled_out(reader.schema)
        _same_schema(path, reader.schema)
        with written(name), atomic_file(path) as file:
            with pq.ParquetWriter(file, reader.schema, write_page_checksum=True) as writer:
                size = self._copy(reader, writer)
            file.flush()
            os.fsync(file.fileno())  # asked as late as possible: gRPC tells the end of the stream before its reason
            if cut():
                raise NymphError(f"the sender of {name!r} went away: it was not written")
        return size

    def _copy(self, reader: fl.MetadataRecordBatchReader, writer: pq.ParquetWriter) -> int:
        size = 0
        for chunk in reader:
            batch = chunk.data
            batch.validate(full=True)
            size += batch.nbytes
            if batch.nbytes > self._message:
                raise NymphError(f"expected messages of at most {self._message} bytes; send smaller batches")
            if size > self._limit:
                raise NymphError(f"expected an upload of at most {self._limit} bytes; send smaller shards")
            writer.write_batch(batch)
        return size


@contextmanager
def written(name: str) -> Iterator[None]:
    """Errors of the disk and of Arrow as a NymphError that names what was not written."""
    try:
        yield
    except fl.FlightError:
        raise
    except (pa.ArrowException, OSError) as error:
        if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error):
            raise NymphError(f"the disk is full: {name!r} was not written; make room and send it again") from None
        raise NymphError(f"{name!r} was not written: {reason(error)}") from None


def allowed_path(roots: Mapping[str, Path], name: str) -> Path:
    """Where `root/folders/file` lies; NymphError for any name that could lead out of the root."""
    root, *parts = name.split("/")
    if root not in roots:
        raise NymphError(f"uploads to {root[:80]!r} are not allowed; allowed are {sorted(roots)}")
    if not (0 < len(parts) <= _DEPTH and all(_PART.fullmatch(part) for part in parts)):
        raise NymphError(f"expected root/folder/name of letters, digits, '.', '_' and '-', got {name[:80]!r}")
    path = roots[root].joinpath(*parts)
    if path.parent.resolve() != path.parent or path.is_symlink():
        raise NymphError(f"{name[:80]!r} leads through a link")
    return path


def shard_path(roots: Mapping[str, Path], name: str) -> Path:
    """The same for a shard."""
    path = allowed_path(roots, name)
    if path.suffix != ".parquet":
        raise NymphError(f"expected the name of a shard to end in .parquet, got {name[:80]!r}")
    return path


def _spelled_out(schema: pa.Schema) -> None:
    """NymphError for a column whose values need no bytes of their own: a few bytes could stand for terabytes."""
    for field in schema:
        if not _has_bytes(field.type):
            raise NymphError(
                f"column {field.name[:80]!r}: expected values written out, got {str(field.type)[:80]}; cast"
            )
    if not schema:
        raise NymphError("expected a shard with columns, got none")


def _has_bytes(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return _has_bytes(kind.storage_type)
    if pa.types.is_fixed_size_list(kind):
        return kind.list_size > 0 and _has_bytes(kind.value_type)
    if any(nests(kind) for nests in (pa.types.is_list, pa.types.is_large_list, pa.types.is_struct, pa.types.is_map)):
        return kind.num_fields > 0 and all(_has_bytes(kind.field(number).type) for number in range(kind.num_fields))
    if pa.types.is_fixed_size_binary(kind):
        return kind.byte_width > 0
    return any(holds(kind) for holds in _LEAVES)


def _same_schema(path: Path, schema: pa.Schema) -> None:
    """NymphError where the table that the shard joins has another schema."""
    others = [shard for shard in find_shards(path.parent) if shard != path] if path.parent.is_dir() else []
    if not others:
        return
    with open_parquet(others[0]) as file:
        if not file.schema_arrow.equals(schema):
            raise NymphError(f"expected the schema of {others[0].name!r} in the same table, got another one")
