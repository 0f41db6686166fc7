"""One update after another on the rows from a cursor on, in micro-batches small enough for the memory.

The rows of a step never change, only into how many micro-batches they are cut: the gradient, the curve and the cursor
stay those of the job. What does not fit is found before the first step where possible, and otherwise when it happens.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch

from nymph.errors import NymphError
from nymph.flight.source import RowSource
from nymph.training.data import StepReader, StepRows
from nymph.training.fitting import NOTE, note, noted
from nymph.training.job import Job
from nymph.training.learner import Learner
from nymph.training.preflight import fits, fits_together
from nymph.training.step import Accept, StepResult
from nymph.training.world import World

TRIES = 4
"""Times a step is tried, each after the first with micro-batches of half the rows."""


class Update(NamedTuple):
    """What one update was made of."""

    rows: StepRows
    waited: float
    """Seconds for rows."""
    result: StepResult


class Updates:
    """Reads rows and trains the learner on them; `alert` hears of smaller micro-batches."""

    def __init__(
        self,
        job: Job,
        world: World,
        learner: Learner,
        source: RowSource,
        cursor: int,
        alert: Callable[[str, str], None],
    ) -> None:
        self._job, self._world, self._learner, self._source, self._alert = job, world, learner, source, alert
        self.pieces = world.largest(noted(job))
        """Micro-batches a step."""
        self._fetched: StepRows | None = None
        self.waited = 0.0
        """Seconds for the rows of the next update, by this rank; `Run` puts the longest of all ranks here."""
        self.reader = self._open(cursor)
        """Of the rows to come; another one after a rewind."""

    def fetch(self) -> Exception | None:
        """Wait for the rows of the next update; why there are none. Other ranks can still be told then."""
        try:
            self._fetched, self.waited = self.reader.next()
        except Exception as error:  # whatever the reading thread met
            return error
        return None

    def next(self, step: int, accept: Accept) -> Update:
        """Make update `step`; where memory runs out, from the same rows in smaller micro-batches."""
        for _ in range(TRIES):
            rows, waited = (self._fetched, self.waited) if self._fetched else self.reader.next()
            self._fetched = None
            torch.manual_seed(self._job.seed + step)
            try:
                return Update(rows, waited, self._learner.stepper(rows, accept))
            except torch.OutOfMemoryError as error:
                self._make_room(rows, error)
        raise NymphError(f"out of memory {TRIES} times in a row; lower batch_rows or context_length")

    def _make_room(self, rows: StepRows, error: torch.OutOfMemoryError) -> None:
        """Go back to the beginning of `rows` with smaller micro-batches; with several ranks all begin anew for that."""
        if self._learner.stepper.updating:
            raise NymphError(f"out of memory in the update itself; shard the optimizer: {error}") from None
        largest = max((len(micro.batch["tokens"]) for micro in rows.micro), default=1)
        if largest == 1:
            raise NymphError(f"out of memory with micro-batches of 1 rows: {error}") from None
        note(self._job, self._more_pieces())
        if self._world.size > 1:
            text = f"out of memory with micro-batches of {largest} rows: {error}"
            raise NymphError(f"{text}; smaller ones once all ranks have begun again") from None
        self._learner.optimizer.zero_grad(set_to_none=True)
        self._shrink(rows.start, largest)

    def remember(self) -> None:
        """Tell of micro-batches that an earlier start of the run has made smaller."""
        if self.pieces > self._job.gradient_accumulation:
            text = f"{self.pieces} micro-batches a step, of {self._most_rows_at_once()} rows at most: more did not fit"
            self._alert("out_of_memory", f"{text}; remove {NOTE} in the run's directory to try again")

    def preflight(self, cursor: int) -> None:
        """Cut micro-batches until the largest batch that could come fits every rank.

        Raises:
            NymphError: Not even one row fits.
        """
        while True:
            if not self._world.sum([float(not self._fits())])[0]:
                return
            largest = self._most_rows_at_once()
            if largest == 1:
                raise NymphError("one row does not fit the memory; lower context_length, or use gradient_checkpointing")
            self._shrink(cursor, largest)

    def rewind(self, cursor: int) -> None:
        """Go on from another row."""
        self.reader.close()
        self.reader, self._fetched = self._open(cursor), None

    def close(self) -> None:
        """Stop reading."""
        self.reader.close()

    def _fits(self) -> bool:
        stepper, model, rows = self._learner.stepper, self._job.model, self._rows_at_once(self._world.rank)
        if self._job.launch.replicas:
            return fits(stepper, model, rows)
        return fits_together(stepper, model, rows, self._most_rows_at_once(), self.pieces, self._world.device)

    def _most_rows_at_once(self) -> int:
        return max(self._rows_at_once(rank) for rank in range(self._world.size))

    def _rows_at_once(self, rank: int) -> int:
        """Rows of a rank's largest micro-batch."""
        _, readers = self._world.reader
        shares = self._job.launch.shares or (1,) * readers
        rows = -(-self._job.batch_rows * shares[rank % readers] // sum(shares))
        return max(1, -(-rows // self.pieces))

    def _shrink(self, cursor: int, largest: int) -> None:
        """Go on from `cursor` with more micro-batches."""
        if self._world.device.type == "cuda":
            torch.cuda.empty_cache()
        self.pieces = self._more_pieces()
        self.rewind(cursor)
        text = f"{largest} rows at once do not fit: {self.pieces} micro-batches a step from here on"
        self._alert("out_of_memory", text)

    def _more_pieces(self) -> int:
        """Twice as many micro-batches, or what stages need: a divisor of the rows."""
        rows, pieces = self._job.batch_rows, 2 * self.pieces
        if not self._world.staged:
            return pieces
        return next(number for number in range(min(pieces, rows), rows + 1) if rows % number == 0)

    def _open(self, cursor: int) -> StepReader:
        pin = self._world.device.type == "cuda"
        return StepReader(self._source, self._job, cursor, *self._world.reader, self.pieces, pin)
