"""Tickets: which rows of which table, in which order, for whom. Strict JSON, checked before anything is opened.

A ticket is read by strangers' servers and written by strangers' clients, so unknown fields, wrong types and values
out of range are errors, and nothing in it is a path.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from nymph.errors import NymphError, nearest
from nymph.flight.order import MAX_ROWS, Order, share

MAX_TICKET_BYTES = 64 * 1024
MAX_NAME = 512
MAX_COLUMNS = 1024
MAX_WORLD = 65_536
MAX_BATCH_ROWS = 1_000_000
MAX_BATCH_TOKENS = 2**30
MAX_TABLES = 64
MAX_WEIGHT = 1e6
_LISTS = ("table", "columns", "weights")


@dataclass(frozen=True)
class Ticket:
    """A stretch of one epoch of one table, as one rank of a world sees it.

    Positions count over all ranks: [start, stop) is cut first, then rank r takes those with position % world == r.
    A cursor is one such position, so it stays true when the world changes.
    """

    table: str | tuple[str, ...]
    """Name of the table, parts joined by "/", the last one often a split; or several tables to mix."""
    columns: tuple[str, ...] | None = None
    """Columns in the order wanted; None is all."""
    seed: int = 0
    epoch: int = 0
    start: int = 0
    stop: int | None = None
    """First position not wanted; None is the end of the table."""
    rank: int = 0
    world: int = 1
    batch_rows: int = 0
    """Rows of each batch but the last; 0 leaves it to the table (batches of about 2 MiB)."""
    shuffle: bool = True
    block: int = 1
    """Rows that stay together when shuffled."""
    fingerprint: str | None = None
    """The table's fingerprint, where serving other content must be an error."""
    weights: tuple[float, ...] | None = None
    """How often each row of each mixed table comes in an epoch (see `nymph.flight.mixture`); None is once."""
    batch_tokens: int = 0
    """Tokens that a batch holds at most, instead of `batch_rows`; a row of more is a batch of its own."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not _CHECKS[field.name](value):
                raise NymphError(f"ticket field {field.name!r}: expected {_WANTED[field.name]}, got {_short(value)}")
        if self.rank >= self.world:
            raise NymphError(f"ticket: expected rank < world, got rank={self.rank} world={self.world}")
        if self.stop is not None and self.stop < self.start:
            raise NymphError(f"ticket: expected start <= stop, got start={self.start} stop={self.stop}")
        if self.weights is not None and len(self.weights) != len(self.tables):
            raise NymphError(f"ticket: expected a weight for each of {len(self.tables)} tables, got {self.weights}")
        if self.batch_rows and self.batch_tokens:
            raise NymphError("ticket: batch_rows and batch_tokens were both given; choose one")

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of all tables."""
        return (self.table,) if isinstance(self.table, str) else self.table

    @property
    def label(self) -> str:
        """The tables in one word, for messages."""
        return "+".join(self.tables)

    @property
    def mixes(self) -> bool:
        """Whether the order is a mixture's: of several tables, or of one by weight."""
        return not isinstance(self.table, str)

    def encode(self) -> bytes:
        """The ticket as compact JSON."""
        return json.dumps(vars(self), separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes) -> "Ticket":
        """The ticket in `data`; NymphError for anything else, before anything large is parsed."""
        if len(data) > MAX_TICKET_BYTES:
            raise NymphError(f"ticket: expected at most {MAX_TICKET_BYTES} bytes, got {len(data)}")
        return cls(**_known(_parse(data)))

    def order(self, rows: int) -> Order:
        """The order this ticket asks for in a table of `rows` rows."""
        return Order(rows, self.seed, self.epoch, self.shuffle, self.block)

    def share(self, rows: int) -> tuple[int, int]:
        """First position and number of rows of this ticket's rank; NymphError where it reaches past the table."""
        stop = rows if self.stop is None else self.stop
        if self.start > rows or stop > rows:
            raise NymphError(
                f"ticket: expected start and stop <= {rows}, the rows of {self.label!r}, "
                f"got start={self.start} stop={self.stop}"
            )
        return share(self.start, stop, self.rank, self.world)


def _parse(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise NymphError("ticket: expected a JSON object in UTF-8") from None
    if not isinstance(value, dict):
        raise NymphError(f"ticket: expected a JSON object, got {type(value).__name__}")
    return value


def _known(value: dict[str, Any]) -> dict[str, Any]:
    names = [field.name for field in fields(Ticket)]
    for name in value:
        if name not in names:
            raise NymphError(f"ticket: unknown field {_short(name)}{nearest(name, names)}")
    if "table" not in value:
        raise NymphError("ticket: the field 'table' is missing")
    lists = {name: tuple(value[name]) for name in _LISTS if isinstance(value.get(name), list)}
    return value | lists


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _integer(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable()


def _names(value: Any, most: int) -> bool:
    return isinstance(value, tuple) and 0 < len(value) <= most and all(_name(name) for name in value)


def _weights(value: Any) -> bool:
    numbers = isinstance(value, tuple) and all(type(weight) in (int, float) for weight in value)
    return numbers and all(0 < weight <= MAX_WEIGHT for weight in value)


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "table": lambda value: _name(value) or _names(value, MAX_TABLES),
    "columns": lambda value: value is None or (_names(value, MAX_COLUMNS) and len(set(value)) == len(value)),
    "seed": _integer(-(2**63), 2**63 - 1),
    "epoch": _integer(0, 2**62),
    "start": _integer(0, MAX_ROWS),
    "stop": lambda value: value is None or _integer(0, MAX_ROWS)(value),
    "rank": _integer(0, MAX_WORLD - 1),
    "world": _integer(1, MAX_WORLD),
    "batch_rows": _integer(0, MAX_BATCH_ROWS),
    "shuffle": lambda value: isinstance(value, bool),
    "block": _integer(1, 2**40),
    "fingerprint": lambda value: value is None or _name(value),
    "weights": lambda value: value is None or _weights(value),
    "batch_tokens": _integer(0, MAX_BATCH_TOKENS),
}
_WANTED = {
    "table": f"a table name or a list of at most {MAX_TABLES}",
    "columns": "null or a list of different column names",
    "seed": "a 64-bit integer",
    "epoch": "an integer >= 0",
    "start": "a position >= 0",
    "stop": "null or a position >= 0",
    "rank": f"an integer from 0 to {MAX_WORLD - 1}",
    "world": f"an integer from 1 to {MAX_WORLD}",
    "batch_rows": f"an integer from 0 to {MAX_BATCH_ROWS}",
    "shuffle": "true or false",
    "block": "an integer >= 1",
    "fingerprint": "null or a fingerprint",
    "weights": f"null or a list of numbers above 0, at most {MAX_WEIGHT:g}",
    "batch_tokens": f"an integer from 0 to {MAX_BATCH_TOKENS}",
}
