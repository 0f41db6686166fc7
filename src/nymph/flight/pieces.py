"""How the rows of a ticket are cut: batches for the reader, pieces of about 2 MiB for the wire.

Server, client and local source cut alike, so that the same ticket gives the same batches everywhere.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nymph.errors import NymphError, nearest
from nymph.flight.tickets import Ticket

TARGET_BYTES = 2 * 1024 * 1024
"""Bytes of a piece on the wire. 1 MiB costs a tenth more processor time a GB for its messages, 8 MiB leaves caches."""
TOKENS = "tokens"
"""The list column that a token budget counts."""
_POSITIONS = 16_384
"""Positions permuted at once, so that numpy's cost per call vanishes."""


class Sized(Protocol):
    """What cutting needs to know of a table."""

    @property
    def schema(self) -> pa.Schema: ...
    @property
    def rows(self) -> int: ...
    @property
    def nbytes(self) -> int: ...


def batch_rows(ticket: Ticket, table: Sized) -> int:
    """Rows of the batches a ticket gets: as many as it asks for, as its token budget holds, or about 2 MiB.

    Where rows have any number of tokens, a budget is kept by `batches_of` and this is the size of pieces alone.
    """
    if ticket.batch_rows:
        return ticket.batch_rows
    length = _tokens_a_row(ticket, table.schema) if ticket.batch_tokens else 0
    return max(1, ticket.batch_tokens // length) if length else max(1, TARGET_BYTES * table.rows // _bytes(table))


def wire_rows(ticket: Ticket, table: Sized) -> int:
    """Rows of a piece: a whole multiple of `batch_rows`, about 2 MiB."""
    rows = batch_rows(ticket, table)
    return rows * max(1, TARGET_BYTES * table.rows // (_bytes(table) * rows))


def batches_of(pieces: Iterator[pa.RecordBatch], ticket: Ticket, table: Sized) -> Iterator[pa.RecordBatch]:
    """The batches in `pieces`: rows as many as asked for, or within the token budget, the last one shorter."""
    if ticket.batch_tokens and not _tokens_a_row(ticket, table.schema):
        return _by_tokens(pieces, ticket.batch_tokens)
    rows = batch_rows(ticket, table)
    return (batch for piece in pieces for batch in split(piece, rows))


def split(batch: pa.RecordBatch, rows: int) -> Iterator[pa.RecordBatch]:
    """`batch` in slices of `rows` rows, without copying."""
    if batch.num_rows <= rows:
        yield batch
        return
    for at in range(0, batch.num_rows, rows):
        yield batch.slice(at, rows)


def position_runs(first: int, count: int, stride: int, size: int) -> Iterator[NDArray[np.int64]]:
    """The positions first, first + stride, ... (`count` of them) in runs of whole pieces of `size` rows."""
    step = max(1, _POSITIONS // size) * size
    for begin in range(0, count, step):
        yield first + np.arange(begin, min(begin + step, count), dtype=np.int64) * stride


def project(schema: pa.Schema, columns: Sequence[str] | None, table: str) -> pa.Schema:
    """The schema of these columns, in this order; NymphError names one that does not exist."""
    for name in columns or ():
        if name not in schema.names:
            raise NymphError(f"table {table!r} has no column {name!r}{nearest(name, schema.names)}")
    fields = [schema.field(name) for name in columns] if columns else list(schema)
    return pa.schema(fields, schema.metadata)


def check_fingerprint(ticket: Ticket, fingerprint: str) -> None:
    """NymphError where the ticket is for other content."""
    if ticket.fingerprint not in (None, fingerprint):
        raise NymphError(
            f"table {ticket.label!r} changed: expected fingerprint {ticket.fingerprint}, got {fingerprint}; "
            "serve the old files again, or start a new run on the new ones"
        )


def _bytes(table: Sized) -> int:
    return max(1, table.nbytes)


def _tokens_a_row(ticket: Ticket, schema: pa.Schema) -> int:
    """Tokens of every row, 0 where rows differ; NymphError where there is nothing to count."""
    kind = schema.field(TOKENS).type if TOKENS in schema.names else None
    asked = ticket.columns is None or TOKENS in ticket.columns
    if kind is not None and asked and pa.types.is_fixed_size_list(kind):
        return int(kind.list_size)
    if kind is None or not asked or not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        raise NymphError(f"ticket field 'batch_tokens': expected a list column {TOKENS!r} in {ticket.label!r}")
    return 0


def _by_tokens(pieces: Iterator[pa.RecordBatch], budget: int) -> Iterator[pa.RecordBatch]:
    """The longest runs of rows of at most `budget` tokens; a row that alone has more is a batch of its own."""
    held: pa.RecordBatch | None = None
    for piece in pieces:
        whole = piece if held is None else pa.concat_batches([held, piece])
        edges = _edges(whole, budget)
        for low, high in pairwise(edges):
            yield whole.slice(low, high - low)
        held = whole.slice(edges[-1])
    if held is not None and held.num_rows:
        yield held


def _edges(batch: pa.RecordBatch, budget: int) -> list[int]:
    """Where to cut `batch`: the rows after the last edge may still be joined by others."""
    ends = np.cumsum(batch[TOKENS].value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64))
    edges, taken = [0], 0
    while True:
        fitting = int(np.searchsorted(ends, taken + budget, side="right"))
        edge = max(fitting, edges[-1] + 1)
        if edge >= len(ends):
            return edges
        edges.append(edge)
        taken = int(ends[edge - 1])
