"""Training rows from one table or from several, which are mixed into one shuffled order (`nymph.flight.mixture`).

It is what the `--file_list a.parquet b.parquet` command line trains on.
"""

from collections.abc import Sequence
from typing import Any

from nymph.flight.source import RowSource, open_source
from nymph.sequences.schema import common_tokenizer


def open_rows(locations: str | Sequence[str], weights: Sequence[float] | None = None, **connection: Any) -> RowSource:
    """See `nymph.flight.source.open_source`; NymphError also where the tables' tokenizers differ."""
    source = open_source(locations, weights, **connection)
    common_tokenizer(source.schemas)
    return source
