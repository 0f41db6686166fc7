"""The table of recordings in the catalog."""

from kedro_datasets._typing import TablePreview

from nymph.datasets.base import PlacedDataset
from nymph.parquet import iter_parquet
from nymph.stages import Work
from nymph.stores.recordings import Recordings, save_recordings


class RecordingsDataset(PlacedDataset[Work, Recordings]):
    """One Parquet file, rewritten whole; rows of unchanged files are taken over."""

    def load(self) -> Recordings:
        """A handle; rows are streamed from it."""
        return Recordings.open(self._filepath)

    def save(self, data: Work) -> None:
        """Carry out the work."""
        save_recordings(self._filepath, data)

    def fingerprint(self) -> str | None:
        """Stands for the recordings' contents."""
        return self.load().fingerprint if self._exists() else None

    def preview(self, nrows: int = 10) -> TablePreview:
        """The first rows, for kedro-viz."""
        return preview_rows(next(iter_parquet(self._filepath), None), nrows) if self._exists() else TablePreview({})


def preview_rows(batch: object, nrows: int) -> TablePreview:
    """Rows of an Arrow batch as kedro-viz wants them; long cells are shortened."""
    rows = batch.slice(0, nrows).to_pylist() if batch is not None else []  # type: ignore[attr-defined]
    columns = list(rows[0]) if rows else []
    data = [[_cell(row[name]) for name in columns] for row in rows]
    return TablePreview({"index": list(range(len(rows))), "columns": columns, "data": data})


def _cell(value: object) -> object:
    text = value if isinstance(value, str) else None if isinstance(value, int | float | bool) else str(value)
    if text is None:
        return value if value == value else None
    return text if len(text) <= 80 else text[:77] + "..."
