"""A table: the rows of a folder of Parquet shards, by position of an order.

Rows of plain bytes are cached once (`cache`) and then served in any order at memory speed. Other Parquet is streamed
in file order, which keeps its memory flat and costs no disk, and can be neither shuffled nor shared in small pieces.
A table is a snapshot: what was opened is what is served, whatever happens to the folder afterwards.
"""

import glob
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from nymph.errors import NymphError
from nymph.flight import cache
from nymph.flight.gather import Arenas, Gatherer
from nymph.flight.layout import layouts
from nymph.flight.order import share
from nymph.flight.pieces import batches_of, check_fingerprint, position_runs, project, wire_rows
from nymph.flight.shards import Shard, content_key, find_shards, open_parquet, read_batches, read_shards, stamp
from nymph.flight.tickets import Ticket


class Table:
    """The rows of `location`, a folder of Parquet shards with one schema or a single Parquet file.

    The cache lies in `cache_folder`, by default `.arrow` beside the shards. This table's older caches go when a new one
    is made, and the longest unused ones of all tables there once they take more than `cache_limit` bytes. NymphError
    where there is no Parquet, a shard is damaged or the schemas differ.
    """

    def __init__(self, location: Path, cache_folder: Path | None = None, cache_limit: int | None = None) -> None:
        self.location = Path(location)
        self.shards, self.schema = read_shards(self.location)
        self.rows = sum(shard.rows for shard in self.shards)
        beside = self.location.parent if self.location.is_file() else self.location
        self.cache_folder = cache_folder or beside / cache.FOLDER
        self.cached: pa.RecordBatch | None = None
        self.name = self.location.resolve().name
        with cache.locked(self.cache_folder):
            memory = self.cache_folder / f"{self.name}.digests.json"
            self.fingerprint = content_key(self.shards, self.schema, memory)
            if layouts(self.schema) is not None and self.rows:
                self.cached = self._cache(cache_limit)
        self.nbytes: int = self.cached.nbytes if self.cached is not None else _told_bytes(self.shards)
        """Bytes of all rows in memory; for a streamed table the uncompressed bytes its footers tell."""
        self._gatherers: dict[tuple[str, ...] | None, Gatherer] = {}
        self._lock = threading.Lock()

    @property
    def cache_path(self) -> Path:
        """Where the cache of this content lies, if it has one."""
        return self.cache_folder / f"{self.name}.{self.fingerprint}.arrow"

    def stale(self) -> bool:
        """Whether a shard was added, removed or replaced since the table was opened."""
        found = find_shards(self.location) if self.location.exists() else []
        if [shard.path for shard in self.shards] != found:
            return True
        return any(stamp(shard.path) != shard.stamp for shard in self.shards)

    def batches(self, ticket: Ticket, arenas: Arenas | None = None) -> Iterator[pa.RecordBatch]:
        """The ticket's rows in the batches it asks for, the last one shorter; NymphError where it cannot be served."""
        return batches_of(self.runs(ticket, arenas), ticket, self)

    def runs(self, ticket: Ticket, arenas: Arenas | None = None) -> Iterator[pa.RecordBatch]:
        """The same rows in pieces for the wire."""
        self._check(ticket)
        first, count = ticket.share(self.rows)
        size = wire_rows(ticket, self)
        if self.cached is None:
            return self._stream(ticket, first, count, size)
        if not ticket.shuffle and ticket.world == 1:
            return self._slices(ticket, first, count, size)
        return self._gathered(ticket, first, count, size, arenas or Arenas())

    def _check(self, ticket: Ticket) -> None:
        check_fingerprint(ticket, self.fingerprint)
        project(self.schema, ticket.columns, self.name)
        if self.cached is None and ticket.shuffle and self.rows:
            raise NymphError(
                f"table {ticket.label!r} has columns of varying width and is streamed: expected shuffle=False"
            )

    def _cache(self, limit: int | None) -> pa.RecordBatch | None:
        found = cache.open_cache(self.cache_path)
        if found is not None:
            return found
        try:
            batch = cache.build_cache(self.cache_path, self.schema, self._read())
        except cache.NotFixedWidthError:
            return None
        except OSError as error:
            raise NymphError(f"cannot write the Arrow cache of {self.location.name!r}: {error.strerror}") from None
        self._forget_older()
        if limit is not None:
            cache.evict([self.cache_folder], limit, keep=[self.cache_path])
        return batch

    def _forget_older(self) -> None:
        """Remove this table's caches of other content; who has one mapped keeps it."""
        for path in self.cache_folder.glob(f"{glob.escape(self.name)}.*.arrow"):
            if path != self.cache_path and len(path.name) == len(self.cache_path.name):
                path.unlink(missing_ok=True)

    def _read(self) -> Iterator[pa.RecordBatch]:
        for shard in self.shards:
            yield from read_batches(shard)

    def _slices(self, ticket: Ticket, first: int, count: int, size: int) -> Iterator[pa.RecordBatch]:
        assert self.cached is not None
        chosen = self.cached.select(list(ticket.columns)) if ticket.columns else self.cached
        for at in range(first, first + count, size):
            yield chosen.slice(at, min(size, first + count - at))

    def _gathered(self, ticket: Ticket, first: int, count: int, size: int, arenas: Arenas) -> Iterator[pa.RecordBatch]:
        gatherer, order = self._gatherer(ticket.columns), ticket.order(self.rows)
        for positions in position_runs(first, count, ticket.world, size):
            rows = order.rows_at(positions)
            for at in range(0, len(rows), size):
                yield gatherer.take(rows[at : at + size], arenas)

    def _gatherer(self, columns: tuple[str, ...] | None) -> Gatherer:
        assert self.cached is not None
        with self._lock:
            if columns not in self._gatherers:
                self._gatherers[columns] = Gatherer([self.cached.select(list(columns)) if columns else self.cached])
            return self._gatherers[columns]

    def _stream(self, ticket: Ticket, first: int, count: int, size: int) -> Iterator[pa.RecordBatch]:
        """File order with a stride, in batches of exactly `size` rows."""
        schema = project(self.schema, ticket.columns, self.name)
        held: list[pa.RecordBatch] = []
        for batch in self._strided(first, count, ticket.world, ticket.columns):
            held.append(batch)
            while sum(piece.num_rows for piece in held) >= size:
                whole = pa.concat_batches(held)
                yield pa.RecordBatch.from_arrays(whole.slice(0, size).columns, schema=schema)
                held = [whole.slice(size)]
        if sum(piece.num_rows for piece in held):
            yield pa.RecordBatch.from_arrays(pa.concat_batches(held).columns, schema=schema)

    def _strided(self, first: int, count: int, stride: int, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        """The rows first, first + stride, ...: `count` of them, reading only the row groups they lie in."""
        stop = first + (count - 1) * stride + 1 if count else first
        for begin, batch in _groups(self.shards, first, stop, columns):
            here, many = share(max(begin, first), min(begin + batch.num_rows, stop), first % stride, stride)
            piece = batch.select(list(columns)) if columns else batch
            if many and stride == 1:
                yield piece.slice(here - begin, many)
            elif many:
                yield piece.take(pa.array(here - begin + np.arange(many) * stride))


def _groups(
    shards: Sequence[Shard], first: int, stop: int, columns: Sequence[str] | None
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Position of each batch's first row, and the batch, for the row groups that reach into [first, stop)."""
    begin = 0
    for shard in shards:
        if begin < stop and begin + shard.rows > first:
            yield from _shard_groups(shard, begin, first, stop, columns)
        begin += shard.rows


def _shard_groups(
    shard: Shard, begin: int, first: int, stop: int, columns: Sequence[str] | None
) -> Iterator[tuple[int, pa.RecordBatch]]:
    with open_parquet(shard.path) as file:
        sizes = [file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups)]
    for number, size in enumerate(sizes):
        at = begin
        if begin < stop and begin + size > first:
            for batch in read_batches(shard, columns, [number]):
                yield at, batch
                at += batch.num_rows
        begin += size


def _told_bytes(shards: Sequence[Shard]) -> int:
    total = 0
    for shard in shards:
        with open_parquet(shard.path) as file:
            groups = range(file.metadata.num_row_groups)
            total += sum(file.metadata.row_group(number).total_byte_size for number in groups)
    return total
