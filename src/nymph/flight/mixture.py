"""Several tables as one: how often each row comes in an epoch, and which row stands at which position.

An epoch holds round(rows * weight) rows of each table: weight 1 is every row once, 2.5 twice and a random half of them
a third time, 0.1 a random tenth. Each table's rows are drawn from its own endless run of shuffled passes, which the
next epoch continues: so over the epochs every row comes equally often, and none comes again before all others came.
The drawn rows of all tables are then shuffled together. All of it is computed from the position, none of it stored, so
a mixture is resumed at any row like a single table.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nymph.errors import NymphError
from nymph.files import fingerprint
from nymph.flight.order import MAX_ROWS, Order, Rows

_LONGEST_NAME = 200


@dataclass(frozen=True)
class Mixture:
    """How tables of `sizes` rows are mixed by `weights`; NymphError where an epoch would be empty or endless."""

    sizes: tuple[int, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.sizes) != len(self.weights) or not all(weight > 0 for weight in self.weights):
            raise NymphError(
                f"expected one weight above 0 for each of {len(self.sizes)} tables, got {list(self.weights)}"
            )
        if self.rows > MAX_ROWS:
            raise NymphError(f"expected at most 2**60 rows an epoch, got {self.rows}; choose smaller weights")

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Rows of each table in an epoch."""
        return tuple(round(size * weight) for size, weight in zip(self.sizes, self.weights, strict=True))

    @property
    def rows(self) -> int:
        """Rows of an epoch."""
        return sum(self.counts)

    def nbytes(self, sizes: Sequence[int]) -> int:
        """Bytes of an epoch, of tables of `sizes` bytes."""
        tables = zip(sizes, self.counts, self.sizes, strict=True)
        return sum(size * count // rows for size, count, rows in tables if rows)

    def rows_at(self, positions: NDArray[np.integer], order: Order) -> tuple[NDArray[np.int64], Rows]:
        """Table and row at `positions` [n] of the mixture's `order`; IndexError outside."""
        slots = replace(order, rows=self.rows).rows_at(positions)
        starts = np.concatenate([[0], np.cumsum(self.counts)])
        tables = np.searchsorted(starts, slots, side="right") - 1
        rows = slots - starts[tables]
        for table in np.unique(tables):
            mine = tables == table
            rows[mine] = self._drawn(int(table), rows[mine], order)
        return tables, rows

    def _drawn(self, table: int, numbers: Rows, order: Order) -> Rows:
        """The rows that are the table's draws `numbers` of this epoch: places in its endless run of passes."""
        size, count = self.sizes[table], self.counts[table]
        before, skipped = divmod(order.epoch * count, size)  # in Python's integers: epochs may be huge
        passes, places = np.divmod(skipped + numbers, size)
        rows = np.empty_like(numbers)
        for number in np.unique(passes):
            mine = passes == number
            inner = replace(order, rows=size, epoch=before + int(number), block=1)
            rows[mine] = inner.rows_at(places[mine])
        return rows


def mixed_name(names: Sequence[str]) -> str:
    """What tables are called together, short enough for a ticket."""
    name = "+".join(names)
    return name if len(name) <= _LONGEST_NAME else f"{names[0][:_LONGEST_NAME]}+{len(names) - 1} more"


def mixed_fingerprint(fingerprints: Sequence[str], weights: Sequence[float]) -> str:
    """What stands for the content of a mixture."""
    return fingerprint("mixture 1", list(fingerprints), list(weights))
