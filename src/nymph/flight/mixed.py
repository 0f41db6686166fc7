"""`MixedTable`: several cached tables served as one, in the order of their `Mixture`."""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from nymph.errors import NymphError
from nymph.flight.gather import Arenas, Gatherer
from nymph.flight.mixture import Mixture, mixed_fingerprint, mixed_name
from nymph.flight.pieces import batches_of, check_fingerprint, position_runs, project, wire_rows
from nymph.flight.tables import Table
from nymph.flight.tickets import Ticket


class MixedTable:
    """`tables` mixed by `weights`, with the interface of `Table`; NymphError where they cannot be mixed.

    Mixing costs one more copy of each row than a single table, because rows of several tables lie side by side.
    """

    def __init__(self, tables: Sequence[Table], weights: Sequence[float]) -> None:
        first = tables[0]
        check_mixable([(table.name, table.schema) for table in tables])
        for table in tables:
            if table.cached is None:
                raise NymphError(f"table {table.name!r} is empty or has columns of varying width: it cannot be mixed")
        self._tables = list(tables)
        self._mixture = Mixture(tuple(table.rows for table in tables), tuple(weights))
        self.name = mixed_name([table.name for table in tables])
        self.schema: pa.Schema = first.schema
        self.rows = self._mixture.rows
        self.nbytes = self._mixture.nbytes([table.nbytes for table in tables])
        self.fingerprint = mixed_fingerprint([table.fingerprint for table in tables], weights)

    def batches(self, ticket: Ticket, arenas: Arenas | None = None) -> Iterator[pa.RecordBatch]:
        """See `Table.batches`."""
        return batches_of(self.runs(ticket, arenas), ticket, self)

    def runs(self, ticket: Ticket, arenas: Arenas | None = None) -> Iterator[pa.RecordBatch]:
        """See `Table.runs`."""
        check_fingerprint(ticket, self.fingerprint)
        first, count = ticket.share(self.rows)
        size = wire_rows(ticket, self)
        gatherer = Gatherer([_columns(table.cached, ticket.columns, table.name) for table in self._tables])
        return self._gathered(ticket, first, count, size, gatherer, arenas or Arenas())

    def _gathered(
        self, ticket: Ticket, first: int, count: int, size: int, gatherer: Gatherer, arenas: Arenas
    ) -> Iterator[pa.RecordBatch]:
        order = ticket.order(self.rows)
        for positions in position_runs(first, count, ticket.world, size):
            tables, rows = self._mixture.rows_at(positions, order)
            for at in range(0, len(rows), size):
                yield gatherer.take(rows[at : at + size], arenas, tables[at : at + size])


def check_mixable(schemas: Sequence[tuple[str, pa.Schema]]) -> None:
    """NymphError where a table (name, schema) has other columns than the first."""
    first_name, first = schemas[0]
    for name, schema in schemas[1:]:
        if not schema.equals(first):
            raise NymphError(f"tables {first_name!r} and {name!r} have different columns; train them apart")


def _columns(batch: pa.RecordBatch | None, columns: Sequence[str] | None, name: str) -> pa.RecordBatch:
    assert batch is not None
    project(batch.schema, columns, name)
    return batch.select(list(columns)) if columns else batch
