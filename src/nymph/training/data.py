"""Rows for each step: one integer cursor over endless epochs, read ahead and collated in a thread.

Position `epoch * rows + k` is row k of that epoch's order, so step after step takes the next `batch_rows` positions
and a step may straddle two epochs: every row comes exactly once an epoch and there is no short last batch. The price
is that steps and epochs do not align. Rank r of w reads lane r, the positions p of an epoch with p % w == r; a fast
rank may read several lanes.
"""

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from nymph.errors import NymphError
from nymph.flight.order import share
from nymph.flight.source import RowSource
from nymph.flight.tickets import Ticket
from nymph.model.config import ModelConfig
from nymph.sequences.collation import Batch, collate
from nymph.training.job import Job
from nymph.training.targets import count_targets, micro_seed
from nymph.training.threads import start_helper


@dataclass(frozen=True)
class Lanes:
    """Which lanes of how many a rank reads."""

    mine: tuple[int, ...] = (0,)
    world: int = 1

    @staticmethod
    def of(rank: int, world: int, shares: Sequence[int] = ()) -> "Lanes":
        """The lanes of `rank`: one of `world`, or as many as its share of `shares`."""
        counts = list(shares) or [1] * world
        if len(counts) != world:
            raise NymphError(f"launch.shares has {len(counts)} values, expected one for each of {world} ranks")
        first = sum(counts[:rank])
        return Lanes(tuple(range(first, first + counts[rank])), sum(counts))


class MicroBatch(NamedTuple):
    """Rows of one forward pass."""

    batch: Batch
    seed: int
    """Of the masks."""
    targets: dict[str, float]
    """Targets of each active objective under that seed."""


class StepRows(NamedTuple):
    """One rank's part of a step."""

    start: int
    """First global position of the step."""
    stop: int
    """First global position after it: the cursor once the step is done."""
    micro: tuple[MicroBatch, ...]
    """None of them empty; none at all where this rank has no row in the step."""


class Lane:
    """One lane's rows from a cursor on, in order, for ever."""

    def __init__(self, source: RowSource, seed: int, cursor: int, lane: int, world: int) -> None:
        self._source, self._seed, self._lane, self._world = source, seed, lane, world
        self._pieces = self._read(cursor)
        self._held: tuple[int, pa.RecordBatch] | None = None

    def take(self, stop: int) -> list[pa.RecordBatch]:
        """All rows before global position `stop` that were not taken yet."""
        taken: list[pa.RecordBatch] = []
        while True:
            position, batch = self._held or next(self._pieces)
            count = min(batch.num_rows, max(0, -(-(stop - position) // self._world)))
            if count:
                taken.append(batch.slice(0, count))
            self._held = None
            if count < batch.num_rows:
                self._held = position + count * self._world, batch.slice(count)
                return taken

    def _read(self, cursor: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        rows = self._source.rows
        while True:
            epoch, start = divmod(cursor, rows)
            first, expected = share(start, rows, self._lane, self._world)
            position, end = epoch * rows + first, epoch * rows + first + expected * self._world
            for batch in self._source.batches(self._ticket(epoch, start)):
                if batch.num_rows:
                    yield position, batch
                position += batch.num_rows * self._world
            if position != end:  # a stream that ends early is no error to Arrow
                raise NymphError(f"epoch {epoch} of {self._source.table!r} ended at row {position}, expected {end}")
            cursor = (epoch + 1) * rows

    def _ticket(self, epoch: int, start: int) -> Ticket:
        return Ticket(
            table=self._source.table, seed=self._seed, epoch=epoch, start=start, rank=self._lane, world=self._world
        )


def step_rows(
    source: RowSource, seed: int, cursor: int, batch_rows: int, pieces: int = 1, lanes: Lanes | None = None
) -> Iterator[tuple[int, int, list[pa.RecordBatch]]]:
    """Endless (start, stop, micro-batches) from `cursor` on: `batch_rows` positions a step over all lanes."""
    lanes = lanes or Lanes()
    if source.rows < lanes.world:
        raise NymphError(f"{source.table!r} has {source.rows} rows, too few for {lanes.world} ranks; train with fewer")
    readers = [Lane(source, seed, cursor, lane, lanes.world) for lane in lanes.mine]
    while True:
        stop = cursor + batch_rows
        yield cursor, stop, _cut([batch for reader in readers for batch in reader.take(stop)], pieces)
        cursor = stop


def check_batch(batch: Batch, model: ModelConfig) -> None:
    """Refuse ids the model has no embedding for: on a GPU they would kill the process without a word.

    Raises:
        NymphError: Names the row, the position and the id.
    """
    limits = {
        "tokens": (0, model.vocabulary_size),
        "sentiment": (-1, model.sentiment_classes),
        "speaker": (-1, len(batch["speaker_vectors"])),
    }
    for name, (low, high) in limits.items():
        values = batch[name].numpy()
        if values.size and (values.min() < low or values.max() >= high):
            row, position = (int(index[0]) for index in np.nonzero((values < low) | (values >= high)))
            raise NymphError(
                f"row {row}, position {position}: {name} {values[row, position]}, expected {low} to {high - 1}; "
                "these rows were made for another model or tokenizer"
            )


class StepReader:
    """Reads, collates and checks steps ahead in a thread; `next` says how long it waited.

    Args:
        source: Used by the thread alone from now on.
        job: For the model, the objectives, the seed and the rows of a step.
        cursor: First global position.
        rank: Of this process, for the masks.
        pieces: Micro-batches to cut this rank's rows into.
        pin: Put tensors into pinned memory, for copies to a GPU that overlap with its work.
    """

    def __init__(
        self,
        source: RowSource,
        job: Job,
        cursor: int,
        rank: int = 0,
        world: int = 1,
        pieces: int | None = None,
        pin: bool = False,
    ) -> None:
        lanes = Lanes.of(rank, world, job.launch.shares)
        pieces = pieces or job.gradient_accumulation
        self._steps = step_rows(source, job.seed, cursor, job.batch_rows, pieces, lanes)
        self._job, self._rank, self._pin = job, rank, pin
        self._ready: queue.Queue[StepRows | BaseException] = queue.Queue(maxsize=job.prefetch)
        self._stopped = threading.Event()
        self.rows_read = self.bytes_read = 0
        self._thread = start_helper(self._run, "nymph-rows", daemon=True)

    @property
    def ready(self) -> int:
        """Steps that wait to be taken."""
        return self._ready.qsize()

    def next(self) -> tuple[StepRows, float]:
        """The next step and the seconds waited for it; raises what the thread met."""
        begin = time.perf_counter()
        item = self._ready.get()
        if isinstance(item, BaseException):
            raise item
        return item, time.perf_counter() - begin

    def close(self) -> None:
        """Stop the thread; what it holds is dropped."""
        self._stopped.set()
        while not self._ready.empty():
            self._ready.get_nowait()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        try:
            for start, stop, pieces in self._steps:
                self.rows_read += sum(piece.num_rows for piece in pieces)
                self.bytes_read += sum(piece.nbytes for piece in pieces)
                micro = tuple(self._prepare(piece, start, index) for index, piece in enumerate(pieces))
                if not self._put(StepRows(start, stop, micro)):
                    return
        except BaseException as error:  # nothing is lost: `next` raises it in the thread that waits for rows
            self._put(error)

    def _prepare(self, rows: pa.RecordBatch, start: int, index: int) -> MicroBatch:
        batch = collate(rows)
        check_batch(batch, self._job.model)
        seed = micro_seed(self._job.seed, start, self._rank, index)
        targets = count_targets(batch, self._job.model, self._job.objectives, seed)
        batch = {name: tensor.pin_memory() for name, tensor in batch.items()} if self._pin else batch
        return MicroBatch(batch, seed, targets)

    def _put(self, item: StepRows | BaseException) -> bool:
        while not self._stopped.is_set():
            try:
                self._ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False


def _cut(batches: list[pa.RecordBatch], pieces: int) -> list[pa.RecordBatch]:
    """The rows of `batches` as up to `pieces` batches that differ by one row at most; none is empty."""
    rows = sum(batch.num_rows for batch in batches)
    if not rows:
        return []
    whole = batches[0] if len(batches) == 1 else pa.concat_batches(batches)
    bounds = [rows * piece // min(pieces, rows) for piece in range(min(pieces, rows) + 1)]
    return [whole.slice(low, high - low) for low, high in pairwise(bounds)]
