"""A page for a person's browser, in the catalog."""

from kedro_datasets._typing import HTMLPreview

from nymph.datasets.base import PlacedDataset
from nymph.files import atomic_file


class PageDataset(PlacedDataset[str, str]):
    """HTML in one file. Unlike Kedro's TextDataset it is never half written.

    Example:
        ```yaml
        data_report_page:
          type: nymph.datasets.page.PageDataset
          filepath: data/08_reporting/data.html
        ```
    """

    def load(self) -> str:
        """The page."""
        return self._filepath.read_text(encoding="utf-8")

    def save(self, data: str) -> None:
        """Write atomically."""
        with atomic_file(self._filepath, "w") as file:
            file.write(data)

    def preview(self) -> HTMLPreview:
        """The page itself, for kedro-viz."""
        return HTMLPreview(self.load() if self._exists() else "")
