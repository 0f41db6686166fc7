"""Packed rows to a folder of Parquet shards, as a stream, whole or not at all.

Row groups are the unit of shuffling, so they are small; pages carry checksums; every shard names its schema version,
tokenizer and options. Where the rows came from goes to `.origins/`, which no reader of tables looks into.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from nymph.errors import NymphError
from nymph.files import atomic_directory, write_json
from nymph.sequences.packing import Packed
from nymph.sequences.rows import ORIGIN_SCHEMA
from nymph.sequences.schema import (
    OPTIONS_KEY,
    SENTIMENTS_KEY,
    STATISTICS_KEY,
    TOKENIZER_KEY,
    VOCABULARY_KEY,
    TokenType,
    check_schema,
    row_schema,
)
from nymph.sequences.statistics import FeatureStatistics
from nymph.text.tokenizer import Tokenizer

ORIGINS = ".origins"
LEFT_OUT = "left_out.json"


@dataclass(frozen=True)
class ShardOptions:
    """How rows are cut into files."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    rows_per_group: int = 64
    """Rows of a row group, the unit that is shuffled and that is in memory while writing."""
    rows_per_shard: int = 8192
    """Rows of a file."""
    compression_level: int = 1
    """zstd, 1 fast to 19 small."""

    def __post_init__(self) -> None:
        if not 1 <= self.rows_per_group <= self.rows_per_shard:
            raise NymphError(
                f"shards: expected 1 <= rows_per_group <= rows_per_shard, got {self.rows_per_group} and "
                f"{self.rows_per_shard}"
            )


@dataclass(frozen=True)
class ShardReport:
    """What was written."""

    shards: int
    rows: int
    bytes: int


def sequence_schema(
    tokenizer: Tokenizer, context_length: int, statistics: FeatureStatistics, options: str
) -> pa.Schema:
    """The row schema that says what made the rows; `options` is a fingerprint of all options."""
    metadata = {
        TOKENIZER_KEY: tokenizer.fingerprint.encode(),
        OPTIONS_KEY: options.encode(),
        STATISTICS_KEY: statistics.to_json().encode(),
        VOCABULARY_KEY: str(tokenizer.size).encode(),
        SENTIMENTS_KEY: json.dumps(tokenizer.extras.special_tokens.sentiments).encode(),
    }
    token_type: TokenType = "uint16" if tokenizer.token_type == pa.uint16() else "int32"
    return row_schema(context_length, token_type, metadata)


def write_shards(
    batches: Iterable[Packed],
    folder: Path,
    schema: pa.Schema,
    options: ShardOptions | None = None,
    left_out: Callable[[], dict[str, Any]] | None = None,
) -> ShardReport:
    """Write rows of `schema` as shards into `folder`, which appears whole and replaces an older one.

    No rows give one shard without rows, so that a table always has its schema. What `left_out` says once all rows
    are written is kept beside their origins.
    """
    chosen = options or ShardOptions()
    check_schema(schema, str(folder))
    with atomic_directory(folder) as part:
        with closing(_Shards(part, schema, chosen)) as shards:
            for group in _groups(batches, schema, chosen.rows_per_group):
                shards.write(*group)
        write_json(part / ORIGINS / LEFT_OUT, left_out() if left_out else {})
        size = sum(path.stat().st_size for path in part.rglob("*.parquet"))
    return ShardReport(shards.count, shards.rows, size)


class _Buffer:
    """Rows waiting to fill a group."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._batches: list[pa.RecordBatch] = []
        self.rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        self._batches.append(batch)
        self.rows += batch.num_rows

    def take(self, rows: int) -> pa.Table:
        table = pa.Table.from_batches(self._batches, self._schema)
        self._batches = table.slice(rows).to_batches()
        self.rows = max(0, self.rows - rows)
        return table.slice(0, rows)


Group = tuple[pa.Table, pa.Table]


def _groups(batches: Iterable[Packed], schema: pa.Schema, size: int) -> Iterator[Group]:
    """Row groups of equal size and their origins; the last one is shorter."""
    rows, origins = _Buffer(schema), _Buffer(ORIGIN_SCHEMA)
    for batch in batches:
        if not batch.rows.schema.equals(schema, check_metadata=True):
            raise NymphError("rows of another schema, tokenizer or options than the table's; run the pipeline again")
        rows.add(batch.rows)
        origins.add(batch.origins)
        while rows.rows >= size:
            yield rows.take(size), origins.take(size)
    if rows.rows:
        yield rows.take(size), origins.take(size)


def _columns(schema: pa.Schema) -> tuple[list[str], list[str]]:
    """Parquet's columns that hold floats, and the others.

    The bytes of floats are stored apart, which shrinks features by a third; their least and greatest say nothing
    about a row, and finding them would be half the cost of writing.
    """
    floats: list[str] = []
    others: list[str] = []
    for leaf in map(schema.field, schema.names):
        path, kind = leaf.name, leaf.type
        while isinstance(kind, pa.ListType | pa.FixedSizeListType):
            path, kind = f"{path}.list.element", kind.value_type
        structure = [f"{path}.{field.name}" for field in kind] if pa.types.is_struct(kind) else [path]
        (floats if pa.types.is_floating(kind) else others).extend(structure)
    return floats, others


class _Shards:
    """The files of a folder, one open at a time, each beside its origins."""

    def __init__(self, folder: Path, schema: pa.Schema, options: ShardOptions) -> None:
        self._folder, self._schema, self._options = folder, schema, options
        self._files = ExitStack()
        self.count = self.rows = self._room = 0
        (folder / ORIGINS).mkdir()
        self._next()

    def write(self, rows: pa.Table, origins: pa.Table) -> None:
        """Write one row group, to a new file where the open one is full."""
        if self._room < rows.num_rows:
            self._next()
        self._table.write_table(rows, row_group_size=self._options.rows_per_group)
        self._origins.write_table(origins, row_group_size=self._options.rows_per_group)
        self._room -= rows.num_rows
        self.rows += rows.num_rows

    def close(self) -> None:
        """Write the open file's footer."""
        self._files.close()

    def _next(self) -> None:
        self.close()
        name = f"{self.count:05d}.parquet"
        self._table = self._open(self._folder / name, self._schema)
        self._origins = self._open(self._folder / ORIGINS / name, ORIGIN_SCHEMA)
        self._room = self._options.rows_per_shard
        self.count += 1

    def _open(self, path: Path, schema: pa.Schema) -> pq.ParquetWriter:
        floats, others = _columns(schema)
        writer = pq.ParquetWriter(
            path,
            schema,
            compression="zstd",
            compression_level=self._options.compression_level,
            use_dictionary=False,
            use_byte_stream_split=floats,
            write_page_checksum=True,
            write_statistics=others,
        )
        return self._files.enter_context(writer)
