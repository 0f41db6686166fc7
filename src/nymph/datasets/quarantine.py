"""A stage's quarantine table in the catalog."""

import pyarrow as pa
from kedro_datasets._typing import TablePreview

from nymph.datasets.base import PlacedDataset
from nymph.datasets.recordings import preview_rows
from nymph.parquet import read_parquet
from nymph.stores.quarantine import Quarantine, save_quarantine


class QuarantineDataset(PlacedDataset[Quarantine, pa.Table]):
    """What could not be used and why; list it after the stage's output, whose failures it writes."""

    def load(self) -> pa.Table:
        """The table; see `nymph.stores.quarantine.QUARANTINE_SCHEMA`."""
        return read_parquet(self._filepath)

    def save(self, data: Quarantine) -> None:
        """Write the failures of the work just carried out."""
        save_quarantine(self._filepath, data)

    def preview(self, nrows: int = 20) -> TablePreview:
        """The first rows, for kedro-viz."""
        batches = self.load().to_batches() if self._exists() else []
        return preview_rows(batches[0] if batches else None, nrows)
