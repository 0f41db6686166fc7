"""Several tables as one row source: an epoch goes through them one after another, each in its own shuffled order.

Rows of different tables do not mix within an epoch; to mix them, put their shards into one folder. It is what the
`--file_list a.parquet b.parquet` command line trains on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from nymph.errors import NymphError
from nymph.files import fingerprint
from nymph.flight.source import RowSource, open_source
from nymph.flight.tickets import Ticket
from nymph.sequences.schema import common_tokenizer


class SeveralSources:
    """The rows of `sources` end to end; NymphError where their schemas or tokenizers differ."""

    def __init__(self, sources: Sequence[RowSource]) -> None:
        self._sources = list(sources)
        first = self._sources[0]
        for other in self._sources[1:]:
            if not other.schema.equals(first.schema):
                raise NymphError(f"tables {first.table!r} and {other.table!r} have different columns; train them apart")
        common_tokenizer(source.schema for source in self._sources)
        self.schema: pa.Schema = first.schema
        self.rows = sum(source.rows for source in self._sources)
        self.fingerprint = fingerprint([source.fingerprint for source in self._sources])
        self.table = "+".join(source.table for source in self._sources)

    def batches(self, ticket: Ticket) -> Iterator[pa.RecordBatch]:
        """The ticket's stretch of the tables end to end, lane by lane as `RowSource.batches` has it."""
        begin, stop = 0, self.rows if ticket.stop is None else ticket.stop
        for source in self._sources:
            low, high = max(ticket.start - begin, 0), min(stop - begin, source.rows)
            if low < high:
                lane = (ticket.rank - begin) % ticket.world  # positions count from `begin` in this table
                yield from source.batches(replace(ticket, start=low, stop=high, rank=lane))
            begin += source.rows

    def close(self) -> None:
        """Close every source."""
        for source in self._sources:
            source.close()


def open_rows(locations: str | Sequence[str], **connection: Any) -> RowSource:
    """The rows at one location or at several, in that order; see `nymph.flight.source.open_source`."""
    if isinstance(locations, str):
        return open_source(locations, **connection)
    if not locations:
        raise NymphError("train_rows is an empty list; name a folder of Parquet shards or a table of a server")
    sources = [open_source(location, **connection) for location in locations]
    return sources[0] if len(sources) == 1 else SeveralSources(sources)
