"""Row sources: a folder of shards or a table on a Flight server, with one interface and the same batches."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from nymph.errors import NymphError
from nymph.flight.client import RemoteSource
from nymph.flight.connection import SCHEMES, Connection
from nymph.flight.gather import Arenas
from nymph.flight.mixed import MixedTable
from nymph.flight.tables import Table
from nymph.flight.tickets import Ticket


class RowSource(Protocol):
    """Rows in the order a ticket asks for. Not shared between threads; open one for each."""

    @property
    def schema(self) -> pa.Schema:
        """Schema of all columns."""

    @property
    def schemas(self) -> Sequence[pa.Schema]:
        """Schema of each table, with its own metadata: several where tables are mixed."""

    @property
    def rows(self) -> int:
        """Rows of an epoch."""

    @property
    def fingerprint(self) -> str:
        """32 hex digits for the table's content."""

    @property
    def table(self) -> str:
        """The name a ticket gives the table."""

    def batches(self, ticket: Ticket) -> Iterator[pa.RecordBatch]:
        """The ticket's rows in batches of `batch_rows` rows or at most `batch_tokens` tokens, the last one shorter.

        The source sets the ticket's table and fingerprint. A batch is valid for as long as something refers to it.
        """

    def close(self) -> None:
        """Let go of files and connections; streams of `batches` end."""


class LocalSource:
    """The rows of a folder of Parquet shards, or of one Parquet file; several are mixed by `weights`."""

    def __init__(self, locations: Sequence[Path], weights: Sequence[float] | None = None) -> None:
        tables = [Table(location) for location in locations]
        single = weights is None and len(tables) == 1
        self._table = tables[0] if single else MixedTable(tables, weights or [1.0] * len(tables))
        self._arenas = Arenas()
        self.schema: pa.Schema = self._table.schema
        self.schemas = [table.schema for table in tables]
        self.rows = self._table.rows
        self.fingerprint = self._table.fingerprint
        self.table = self._table.name

    def batches(self, ticket: Ticket) -> Iterator[pa.RecordBatch]:
        """See `RowSource`; NymphError where the ticket asks for rows or columns that do not exist."""
        return self._table.batches(replace(ticket, table=self.table, fingerprint=self.fingerprint), self._arenas)

    def close(self) -> None:
        """Nothing is held but a memory map, which goes with the last batch."""


def open_source(location: str | Sequence[str], weights: Sequence[float] | None = None, **connection: Any) -> RowSource:
    """The rows at `location`: a folder of Parquet shards, a Parquet file, or `grpc://host:port/table`.

    `grpc+tls://` is encrypted. Several locations, all local or all of one server, are mixed into one order, where each
    row comes as often an epoch as its table's weight says (`nymph.flight.mixture`), once by default. `connection` holds
    fields of `Connection`, which a local folder does not need and ignores, so that one catalog entry serves both.
    NymphError where nothing is there, the server cannot be reached or the tables cannot be mixed.
    """
    options = Connection(**connection)
    locations = [location] if isinstance(location, str) else list(location)
    if not locations:
        raise NymphError("expected a folder of Parquet shards or a table of a server, got an empty list")
    remote = [one for one in locations if "://" in one]
    for one in locations:
        _check_location(one)
    if len(remote) == len(locations):
        return RemoteSource(locations, options, weights)
    if remote:
        raise NymphError(f"expected tables of one place to mix, got {', '.join(locations)}; copy them together")
    return LocalSource([Path(one) for one in locations], weights)


def _check_location(location: str) -> None:
    if "://" in location:
        if not location.startswith(SCHEMES):
            raise NymphError(
                f"expected a folder, a Parquet file or {' or '.join(SCHEMES)}host:port/table, got {location!r}"
            )
    elif not Path(location).exists():
        raise NymphError(
            f"no table at {location!r}: expected a folder of .parquet files; run the pipeline that makes it"
        )
