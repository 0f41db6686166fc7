"""A folder that a stage manages by itself, such as that of the checkpoints: the catalog says where it is."""

from pathlib import Path
from typing import NoReturn

from kedro.io.core import DatasetError

from nymph.datasets.base import PlacedDataset


class FolderDataset(PlacedDataset[NoReturn, Path]):
    """Loads as its absolute path, made if need be."""

    def load(self) -> Path:
        """The folder."""
        self._filepath.mkdir(parents=True, exist_ok=True)
        return self._filepath.resolve()

    def save(self, data: NoReturn) -> NoReturn:
        """Never: the stage that owns the folder writes into it."""
        raise DatasetError("a folder entry is only a place; load it")
