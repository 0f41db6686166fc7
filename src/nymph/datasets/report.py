"""Small JSON reports that appear whole."""

from typing import Any

from kedro_datasets._typing import JSONPreview

from nymph.datasets.base import PlacedDataset
from nymph.files import read_json, write_json


class ReportDataset(PlacedDataset[dict[str, Any], dict[str, Any]]):
    """A JSON object in one file. Unlike Kedro's JSONDataset it is never half written."""

    def load(self) -> dict[str, Any]:
        """The object."""
        return dict(read_json(self._filepath))

    def save(self, data: dict[str, Any]) -> None:
        """Write atomically."""
        write_json(self._filepath, data)

    def preview(self) -> JSONPreview:
        """The report, for kedro-viz."""
        import json

        return JSONPreview(json.dumps(self.load() if self._exists() else {}, ensure_ascii=False))
