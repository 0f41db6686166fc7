"""The table of speakers in the catalog."""

from pathlib import Path
from typing import Any

from kedro_datasets._typing import TablePreview

from nymph.datasets.kept import KeptDataset
from nymph.datasets.recordings import preview_rows
from nymph.parquet import iter_parquet
from nymph.stores.speakers import Speakers, write_speakers


class SpeakersDataset(KeptDataset[Speakers]):
    """One Parquet file; saving updates what it holds, so that speakers keep their names."""

    def load(self) -> Speakers:
        """A handle; rows are streamed from it."""
        return Speakers.open(self._filepath)

    def preview(self, nrows: int = 10) -> TablePreview:
        """The first voices, for kedro-viz."""
        return preview_rows(next(iter_parquet(self._filepath), None), nrows) if self._exists() else TablePreview({})

    def _write(self, path: Path, value: Any) -> None:
        write_speakers(path, value)
