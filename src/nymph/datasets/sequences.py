"""Packed training rows on this machine: a folder of Parquet shards."""

from pathlib import Path
from typing import Any

from kedro_datasets._typing import TablePreview

from nymph.datasets.kept import KeptDataset

TOKENIZER = "tokenizer"
"""The table beside the splits that `sequences_tokenizer` names."""


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
        """The first rows decoded as `kedro inspect rows` decodes them, for kedro-viz."""
        from nymph.datasets.tokenizer import load_tokenizer_table
        from nymph.sequences.inspect import COLUMNS, first_rows, tabulate

        beside = self._filepath.parent / TOKENIZER
        if not self._exists() or not beside.exists():
            return TablePreview({})
        data = tabulate(first_rows(self._filepath, load_tokenizer_table(str(beside)), nrows))
        return TablePreview({"index": list(range(len(data))), "columns": list(COLUMNS), "data": list(map(list, data))})

    def _write(self, path: Path, value: Any) -> None:
        value(path)
