"""Packed training rows on this machine: a folder of Parquet shards."""

from pathlib import Path
from typing import Any

from kedro_datasets._typing import TablePreview

from nymph.datasets.kept import KeptDataset
from nymph.datasets.recordings import preview_rows


class SequencesDataset(KeptDataset[str]):
    """Saved by work that yields a function writing the folder; loaded as a location for `open_source`.

    Example:
        ```yaml
        sequences_train:
          type: nymph.datasets.sequences.SequencesDataset
          filepath: data/05_model_input/sequences/train
        ```
    """

    def load(self) -> str:
        """The folder: training opens it itself, in as many processes as it likes."""
        return str(self._filepath)

    def preview(self, nrows: int = 3) -> TablePreview:
        """Tokens of the first rows, for kedro-viz."""
        from nymph.flight.source import open_source
        from nymph.flight.tickets import Ticket

        if not self._exists():
            return TablePreview({})
        source = open_source(str(self._filepath))
        ticket = Ticket(table=source.table, shuffle=False, stop=min(nrows, source.rows), columns=("tokens", "modality"))
        return preview_rows(next(source.batches(ticket), None), nrows)

    def _write(self, path: Path, value: Any) -> None:
        value(path)
