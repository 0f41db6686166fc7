"""The frame files of recordings, read a span at a time, so that a ten-hour recording costs what an utterance costs."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nymph.errors import NymphError

Frames = Callable[[Mapping[str, Any]], "pa.Table | None"]
"""From an utterance's `frames` ({"file", "start", "stop"}) to those rows of the file; None where there are none."""
Stamped = tuple[str, int]
"""A path and its modification time, so that a file made anew is not read from what is remembered of the old one."""
COLUMNS = ("log_mel", "energy_db", "f0_hz", "voiced")


class FrameFolder:
    """Calling it with an utterance's `frames` gives those rows. Picklable: workers open files of their own."""

    def __init__(self, folder: Path, columns: tuple[str, ...] = COLUMNS) -> None:
        self.folder = folder
        self.columns = columns

    def __call__(self, reference: Mapping[str, Any]) -> pa.Table | None:
        """Rows `start` to `stop` of the file; None where it is not there, NymphError where it is damaged or short."""
        start, stop = reference["start"], reference["stop"]
        name = str(reference["file"])
        path = self.folder / name
        if Path(name).name != name:
            raise NymphError(f"expected the name of a frame file, got {name!r}")
        if not path.is_file():
            return None
        try:
            table, first = _groups((str(path), path.stat().st_mtime_ns), start, stop, self.columns)
        except (pa.ArrowException, OSError) as error:
            reason = str(error).partition("\n")[0]
            raise NymphError(f"frames of {path.name} cannot be read ({reason}); run the features pipeline") from error
        if first + table.num_rows < stop:
            raise NymphError(
                f"{path.name}: expected {stop} frames, got {first + table.num_rows}; run the features pipeline again"
            )
        return table.slice(start - first, stop - start)


def spoken(utterances: Iterable[Mapping[str, Any]], frames: Frames) -> Iterator[tuple[Mapping[str, Any], pa.Table]]:
    """The utterances that have frames, with them."""
    for utterance in utterances:
        table = frames(utterance["frames"]) if utterance.get("frames") else None
        if table is not None and table.num_rows:
            yield utterance, table


def _groups(path: Stamped, start: int, stop: int, columns: tuple[str, ...]) -> tuple[pa.Table, int]:
    """The row groups that hold rows `start` to `stop`, and the first row of them."""
    file, edges = _open(path)
    wanted = [g for g in range(len(edges) - 1) if edges[g] < stop and edges[g + 1] > start]
    if not wanted:
        return file.schema_arrow.empty_table(), int(edges[-1])
    return _read(path, wanted[0], wanted[-1] + 1, columns), int(edges[wanted[0]])


@lru_cache(maxsize=4)
def _read(path: Stamped, first: int, stop: int, columns: tuple[str, ...]) -> pa.Table:
    """Neighbouring utterances share row groups; the last few stay decoded."""
    return _open(path)[0].read_row_groups(list(range(first, stop)), columns=list(columns), use_threads=False)


@lru_cache(maxsize=2)
def _open(path: Stamped) -> tuple[pq.ParquetFile, Any]:
    file = pq.ParquetFile(path[0], page_checksum_verification=True)
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    return file, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
