"""Frames of recordings in the catalog."""

import base64

from kedro_datasets._typing import ImagePreview

from nymph.datasets.items import ItemsDataset


class FramesDataset(ItemsDataset):
    """Spectrogram, pitch and energy of each recording: items that are better looked at than read.

    Example:
        ```yaml
        frames:
          type: nymph.datasets.frames.FramesDataset
          filepath: data/04_feature/frames
        ```
    """

    def preview(self) -> ImagePreview:  # type: ignore[override]
        """The beginning of the first recording as a spectrogram with its pitch and energy, for kedro-viz."""
        from nymph.reporting.pictures import frames_picture

        first = next(iter(self.load()), None) if self._exists() else None
        picture = b"" if first is None else frames_picture(self.load().read(first))
        return ImagePreview(base64.b64encode(picture).decode())
