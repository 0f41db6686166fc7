"""The table of speakers in the catalog."""

from pathlib import Path
from typing import Any

from nymph.datasets.kept import KeptDataset
from nymph.stores.speakers import Speakers, write_speakers


class SpeakersDataset(KeptDataset[Speakers]):
    """One Parquet file; saving updates what it holds, so that speakers keep their names."""

    def load(self) -> Speakers:
        """A handle; rows are streamed from it."""
        return Speakers.open(self._filepath)

    def _write(self, path: Path, value: Any) -> None:
        write_speakers(path, value)
