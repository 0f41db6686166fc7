"""`ArrowFlightDataset`: a table, local or remote, for torch's DataLoader.

Batches come whole from Arrow, so give the DataLoader `batch_size=None`. Its workers share the rank's rows among them:
every row still comes once an epoch, but their batches take turns, so the order is that of one process only with
`num_workers=0`, which is also the fastest: the rows are read ahead by a thread already.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import torch
from torch.utils.data import IterableDataset, get_worker_info
from torch.utils.dlpack import from_dlpack

from nymph.errors import NymphError
from nymph.flight.source import RowSource, open_source
from nymph.flight.tickets import Ticket


@dataclass(frozen=True)
class Reading:
    """Which rows of a table, and how many at a time."""

    batch_rows: int = 8
    batch_tokens: int = 0
    """Tokens that a batch holds at most, instead of `batch_rows`."""
    columns: tuple[str, ...] | None = None
    seed: int = 0
    shuffle: bool = True
    rank: int = 0
    world: int = 1
    weights: tuple[float, ...] | None = None
    """How often each row of each of several tables comes in an epoch; None is once."""
    connection: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `nymph.flight.connection.Connection`."""


class ArrowFlightDataset(IterableDataset):
    """One epoch of `location`, a table or several to mix, each time it is iterated, the next epoch the next time.

    `convert` makes each batch what the loop wants; `tensors` by default. `state_dict` is the place after the last
    batch that was given out in this process; NymphError where another table is continued from it.
    """

    def __init__(
        self,
        location: str | Sequence[str],
        reading: Reading | None = None,
        convert: Callable[[pa.RecordBatch], Any] | None = None,
    ) -> None:
        self._location, self._reading = location, reading or Reading()
        self._convert = convert or tensors
        self._source: RowSource | None = None
        self._epoch = self._position = 0

    def __iter__(self) -> Iterator[Any]:
        source, reading = self._open(), self._reading
        rank, world = _lane(reading)
        start, done = self._position, 0
        ticket = Ticket(
            table=source.table,
            columns=reading.columns,
            seed=reading.seed,
            epoch=self._epoch,
            start=start,
            rank=rank,
            world=world,
            batch_rows=0 if reading.batch_tokens else reading.batch_rows,
            batch_tokens=reading.batch_tokens,
            shuffle=reading.shuffle,
        )
        for batch in source.batches(ticket):
            done += batch.num_rows
            self._position = min(start + done * world, source.rows)
            yield self._convert(batch)
        self._epoch, self._position = self._epoch + 1, 0

    def __len__(self) -> int:
        """Batches of a whole epoch on this rank, without workers; TypeError where a token budget makes them."""
        if self._reading.batch_tokens:
            raise TypeError("the number of batches within a token budget is not known before they are read")
        first_to_last = Ticket("any", rank=self._reading.rank, world=self._reading.world)
        _, rows = first_to_last.share(self._open().rows)
        return -(-rows // self._reading.batch_rows)

    def state_dict(self) -> dict[str, Any]:
        """Epoch, position, seed and the table's fingerprint, as JSON values."""
        place = {"epoch": self._epoch, "position": self._position}
        return place | {"seed": self._reading.seed, "fingerprint": self._open().fingerprint}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue after the row that `state` tells; NymphError where table or seed differ."""
        for name, mine in (("seed", self._reading.seed), ("fingerprint", self._open().fingerprint)):
            if state[name] != mine:
                raise NymphError(f"{self._location}: expected {name} {state[name]!r} of the checkpoint, got {mine!r}")
        self._epoch, self._position = state["epoch"], state["position"]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_source": None}  # a worker opens its own connection

    def _open(self) -> RowSource:
        if self._source is None:
            self._source = open_source(self._location, self._reading.weights, **self._reading.connection)
        return self._source


def tensors(batch: pa.RecordBatch) -> dict[str, torch.Tensor]:
    """Columns as tensors over Arrow's memory, not to be written to.

    A number a row gives [rows]; a fixed-size list [rows, length]; a list the flat elements [n, ...] under the column's
    name and int32 offsets [rows + 1] under `<name>_offsets`. NymphError for nulls, which tensors do not have.
    """
    found: dict[str, torch.Tensor] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_list(column.type):
            offsets = from_dlpack(column.offsets)
            found[f"{name}_offsets"] = offsets - offsets[:1]
            column = column.flatten()
        found[name] = _tensor(name, column)
    return found


def _tensor(name: str, column: pa.Array) -> torch.Tensor:
    shape = [len(column)]
    while pa.types.is_fixed_size_list(column.type):
        if column.null_count:
            break
        length = column.type.list_size
        shape.append(length)
        column = column.values.slice(column.offset * length, len(column) * length)  # flatten() takes seven times longer
    if column.null_count:
        raise NymphError(f"column {name!r} has nulls, expected none: fill them, or leave the column out")
    return from_dlpack(column).view(*shape)


def _lane(reading: Reading) -> tuple[int, int]:
    """Rank and world, with this process's place among the DataLoader's workers."""
    worker = get_worker_info()
    if worker is None:
        return reading.rank, reading.world
    return reading.rank * worker.num_workers + worker.id, reading.world * worker.num_workers
