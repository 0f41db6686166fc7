"""What Nymph's datasets share: a place on disk, a description, and sizes for previews."""

from pathlib import Path
from typing import Any, Generic, TypeVar

from kedro.io.core import AbstractDataset

SaveT = TypeVar("SaveT")
LoadT = TypeVar("LoadT")


class PlacedDataset(AbstractDataset[SaveT, LoadT], Generic[SaveT, LoadT]):
    """A dataset that lives at `filepath`, a file or a folder, which Kedro makes absolute."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def fingerprint(self) -> str | None:
        """Stands for the content; None while there is none."""
        return None

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

    def _exists(self) -> bool:
        return self._filepath.exists()
