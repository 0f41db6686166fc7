"""The tokenizer as a folder that `transformers` loads too, and the codebook of audio units in it."""

from pathlib import Path
from typing import Any

from nymph.datasets.flight import FlightDataset
from nymph.datasets.kept import KeptDataset
from nymph.flight.source import open_source
from nymph.flight.tickets import Ticket
from nymph.sequences.units import Codebook
from nymph.text.table import read_tokenizer_table, write_tokenizer_table
from nymph.text.tokenizer import Tokenizer


class TokenizerDataset(KeptDataset[Tokenizer]):
    """`tokenizer.json` with `tokenizer_config.json` beside it.

    Example:
        ```yaml
        tokenizer:
          type: nymph.datasets.tokenizer.TokenizerDataset
          filepath: data/06_models/tokenizer/tokenizer.json
        ```
    """

    def load(self) -> Tokenizer:
        """The trained tokenizer."""
        return Tokenizer.load(self._filepath)

    def _write(self, path: Path, value: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        value.save(path)


class CodebookDataset(KeptDataset[Codebook]):
    """The audio units as safetensors; a codebook of no units where the stage learned none.

    Example:
        ```yaml
        audio_codebook:
          type: nymph.datasets.tokenizer.CodebookDataset
          filepath: data/06_models/tokenizer/audio_units.safetensors
        ```
    """

    def load(self) -> Codebook:
        """The codebook."""
        return Codebook.load(self._filepath)

    def _write(self, path: Path, value: Any) -> None:
        value.save(path)


class TokenizerTableDataset(KeptDataset[Tokenizer]):
    """The tokenizer as a one-row table beside the rows it made."""

    def load(self) -> Tokenizer:
        """The tokenizer."""
        return load_tokenizer_table(str(self._filepath))

    def _write(self, path: Path, value: Any) -> None:
        write_tokenizer_table(path, value)


class FlightTokenizerDataset(FlightDataset):
    """The tokenizer that belongs to rows read over Flight: the table that `TokenizerTableDataset` wrote there.

    Example:
        ```yaml
        tokenizer:
          type: nymph.datasets.tokenizer.FlightTokenizerDataset
          endpoint: ${oc.env:NYMPH_FLIGHT,'grpc://127.0.0.1:9090'}
          table: sequences/tokenizer
          connection: ${globals:connection}
        ```
    """

    def __init__(
        self,
        *,
        endpoint: str,
        table: str,
        connection: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(endpoint=endpoint, table=table, metadata=metadata)
        self._connection = connection or {}

    def load(self) -> Any:
        """The tokenizer."""
        return load_tokenizer_table(super().load(), **self._connection)


def load_tokenizer_table(location: str, **connection: Any) -> Tokenizer:
    """The tokenizer in a table, in a folder or behind a Flight server."""
    source = open_source(location, **connection)
    try:
        return read_tokenizer_table(next(source.batches(Ticket(source.table, shuffle=False))))
    finally:
        source.close()
