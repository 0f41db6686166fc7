"""Whole artifacts that are remade only when their key changes."""

from abc import abstractmethod
from pathlib import Path
from typing import Any, Generic, TypeVar

from kedro_datasets._typing import JSONPreview

from nymph.datasets.base import PlacedDataset
from nymph.stages import Work
from nymph.stores.kept import kept_fingerprint, save_kept
from nymph.stores.utterances import Utterances, write_utterances

LoadT = TypeVar("LoadT")


class KeptDataset(PlacedDataset[Work, LoadT], Generic[LoadT]):
    """Saved by work on one item; untouched if it is there for that key already."""

    @abstractmethod
    def _write(self, path: Path, value: Any) -> None:
        """Put `value` in place atomically."""

    def save(self, data: Work) -> None:
        """Carry out the work unless the artifact is current."""
        save_kept(self._filepath, data, self._write)

    def fingerprint(self) -> str | None:
        """Stands for the artifact's content."""
        return kept_fingerprint(self._filepath) if self._exists() else None


class UtterancesDataset(KeptDataset[Utterances]):
    """`utterances.jsonl`, streamed."""

    def load(self) -> Utterances:
        """A handle to iterate over, again and again."""
        return Utterances(self._filepath)

    def preview(self, nrows: int = 3) -> JSONPreview:
        """The first utterances, for kedro-viz."""
        import itertools
        import json

        first = itertools.islice(self.load(), nrows) if self._exists() else []
        shown = [{**utterance, "speaker_vector": "256 numbers"} for utterance in first]
        return JSONPreview(json.dumps(shown, ensure_ascii=False))

    def _write(self, path: Path, value: Any) -> None:
        write_utterances(path, value)
