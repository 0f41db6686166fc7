"""A folder with one Parquet file an item, in the catalog."""

from kedro_datasets._typing import TablePreview

from nymph.datasets.base import PlacedDataset
from nymph.datasets.recordings import preview_rows
from nymph.stages import Work
from nymph.stores.items import StoredItems, save_items


class ItemsDataset(PlacedDataset[Work, StoredItems]):
    """Transcripts, frames and the like: saved by making the missing items, loaded as a handle.

    Example:
        ```yaml
        transcripts:
          type: nymph.datasets.items.ItemsDataset
          filepath: data/02_intermediate/transcripts
        ```
    """

    def load(self) -> StoredItems:
        """The items of the last whole run."""
        return StoredItems.open(self._filepath)

    def save(self, data: Work) -> None:
        """Carry out the work."""
        save_items(self._filepath, data)

    def fingerprint(self) -> str | None:
        """Stands for the keys of all items."""
        return self.load().fingerprint if self._exists() else None

    def preview(self, nrows: int = 10) -> TablePreview:
        """The first rows of the first item, for kedro-viz."""
        return preview_rows(next(self.load().batches(), None), nrows) if self._exists() else TablePreview({})

    def _exists(self) -> bool:
        return (self._filepath / "index.json").is_file()
