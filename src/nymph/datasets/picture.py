"""A picture that is drawn again only when what it shows has changed."""

import base64
from pathlib import Path
from typing import Any

from kedro_datasets._typing import ImagePreview

from nymph.datasets.kept import KeptDataset
from nymph.files import atomic_file


class PictureDataset(KeptDataset[bytes]):
    """A PNG, saved by work that yields its bytes.

    Example:
        ```yaml
        sequences_picture:
          type: nymph.datasets.picture.PictureDataset
          filepath: data/08_reporting/sequences.png
        ```
    """

    def load(self) -> bytes:
        """The file's bytes."""
        return self._filepath.read_bytes()

    def preview(self) -> ImagePreview:
        """The picture, for kedro-viz."""
        return ImagePreview(base64.b64encode(self.load()).decode() if self._exists() else "")

    def _write(self, path: Path, value: Any) -> None:
        with atomic_file(path) as file:
            file.write(value)
