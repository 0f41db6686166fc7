"""The folder of event logs in the catalog."""

import base64

from kedro_datasets._typing import ImagePreview

from nymph.datasets.folder import FolderDataset
from nymph.training.events import EVENTS


class RunsDataset(FolderDataset):
    """Run directories, one a run, each with its event log; loads as the folder's path.

    Example:
        ```yaml
        runs:
          type: nymph.datasets.runs.RunsDataset
          filepath: data/08_reporting/runs
        ```
    """

    def preview(self, nruns: int = 5) -> ImagePreview:
        """The losses of the latest runs, for kedro-viz."""
        from nymph.reporting.pictures import loss_picture

        logs = sorted(self._filepath.glob(f"*/{EVENTS}"), key=lambda log: log.stat().st_mtime)[-nruns:]
        picture = loss_picture({log.parent.name: log for log in reversed(logs)}) if logs else b""
        return ImagePreview(base64.b64encode(picture).decode())
