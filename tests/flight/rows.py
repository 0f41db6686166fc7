"""Small real tables for the tests of the data plane."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

LENGTH = 16


def training_rows(rows: int, first: int = 0) -> pa.Table:
    """Rows like a training row's: fixed lists, and lists of vectors of varying number; `id` tells them apart."""
    generator = np.random.default_rng(first)
    counts = generator.integers(0, 4, rows)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    vectors = generator.standard_normal((offsets[-1], 6)).astype(np.float16)
    return pa.table(
        {
            "id": pa.array(np.arange(first, first + rows)),
            "tokens": _fixed(generator.integers(0, 60_000, (rows, LENGTH)).astype(np.uint16)),
            "prosody": _fixed(generator.standard_normal((rows, 4 * LENGTH)).astype(np.float16)),
            "audio": pa.ListArray.from_arrays(offsets, _fixed(vectors)),
            "audio_position": pa.ListArray.from_arrays(offsets, pa.array(np.arange(offsets[-1], dtype=np.uint32))),
        }
    )


def words(rows: int) -> pa.Table:
    """Rows that have no fixed width."""
    return pa.table({"id": list(range(rows)), "word": [f"word {number}" * (number % 5) for number in range(rows)]})


def write(path: Path, table: pa.Table, row_group_size: int = 40) -> Path:
    """A shard, renamed over the one before: a file changed in place within a tick of the clock looks unchanged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, part := path.with_name(".new"), row_group_size=row_group_size, write_page_checksum=True)
    return part.rename(path)


def shards(folder: Path, rows: int, shard_rows: int = 50) -> Path:
    """A folder of shards of training rows with ids 0, 1, ..."""
    for number, first in enumerate(range(0, max(rows, 1), shard_rows)):
        write(folder / f"part-{number:03}.parquet", training_rows(min(shard_rows, rows - first), first))
    return folder


def ids(batches: Any) -> list[int]:
    """The ids of the rows of batches, in order."""
    return [row for batch in batches for row in batch.column(batch.schema.get_field_index("id")).to_pylist()]


def _fixed(array: Any) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), array.shape[1])
