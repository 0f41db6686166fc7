"""The folder a user fills with recordings, texts and conversations."""

from pathlib import Path
from typing import Any, NoReturn

from kedro.io.core import DatasetError

from nymph.datasets.base import PlacedDataset
from nymph.ingestion.raw import RawFolder, offer_sample


class RawFolderDataset(PlacedDataset[NoReturn, RawFolder]):
    """Loads as a `RawFolder`.

    Example:
        ```yaml
        raw:
          type: nymph.datasets.raw_folder.RawFolderDataset
          filepath: data/01_raw
          sample: true   # copy the 30-second sample conversation there once
        ```
    """

    def __init__(self, *, filepath: str, sample: bool = False, metadata: dict[str, Any] | None = None) -> None:
        super().__init__(filepath=filepath, metadata=metadata)
        self._sample = sample

    def load(self) -> RawFolder:
        """The folder, made if need be."""
        Path(self._filepath).mkdir(parents=True, exist_ok=True)
        if self._sample:
            offer_sample(self._filepath)
        return RawFolder(self._filepath)

    def save(self, data: NoReturn) -> NoReturn:
        """Never: the raw folder is the user's."""
        raise DatasetError("the raw folder is read only; put files into it by hand")
