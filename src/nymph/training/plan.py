"""Sharing a step among unequal devices: rows in proportion to measured speed, within each one's memory.

A step ends when the slowest rank does, so each row goes to the rank that would finish it first; for rows of equal
cost no other division of whole rows ends sooner. Memory does not limit a rank's rows, only its micro-batch. Exchange
of gradients is not in the prediction: it is measured by the run itself.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from nymph.errors import NymphError
from nymph.training.estimate import estimate_run
from nymph.training.job import Job, Launch


@dataclass(frozen=True)
class RankSpeed:
    """What one device can do with a job's model."""

    device: str
    rows_per_second: float
    fixed_bytes: int
    """Weights, gradients and optimizer state."""
    row_bytes: int
    """Activations of one more row in a micro-batch."""
    memory_bytes: int
    """What the device has."""

    @property
    def largest_micro_batch(self) -> int:
        """Rows of one forward pass that fit, a tenth of the memory kept free."""
        return int((0.9 * self.memory_bytes - self.fixed_bytes) // max(1, self.row_bytes))


@dataclass(frozen=True)
class Plan:
    """Who does what in a step."""

    rows: tuple[int, ...]
    """Rows of each rank."""
    gradient_accumulation: int
    """Micro-batches each rank cuts its rows into, so that they fit everywhere."""
    step_seconds: float
    """Predicted, without exchanging gradients."""
    efficiency: float
    """Predicted speed as a share of the sum of the ranks' own speeds."""

    def apply(self, job: Job) -> Job:
        """`job` with this division of its rows."""
        divisor = math.gcd(*self.rows)
        shares = tuple(rows // divisor for rows in self.rows)
        launch = replace(job.launch, ranks=len(self.rows), shares=shares)
        return replace(job, launch=launch, gradient_accumulation=self.gradient_accumulation)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def plan_step(ranks: Sequence[RankSpeed], batch_rows: int) -> Plan:
    """Divide `batch_rows` rows among `ranks`.

    Raises:
        NymphError: A device cannot hold the model and one row, or there are fewer rows than ranks.
    """
    for rank in ranks:
        if rank.largest_micro_batch < 1:
            need = (rank.fixed_bytes + rank.row_bytes) / 1e9
            raise NymphError(
                f"{rank.device} cannot hold the model and one row: they need {need:.1f} GB and a tenth to spare, "
                f"it has {rank.memory_bytes / 1e9:.1f} GB; leave it out, or use gradient_checkpointing"
            )
    if batch_rows < len(ranks):
        raise NymphError(f"batch_rows {batch_rows} is less than one row for each of {len(ranks)} ranks; raise it")
    rows = _divide([rank.rows_per_second for rank in ranks], batch_rows)
    pieces = max(math.ceil(mine / rank.largest_micro_batch) for mine, rank in zip(rows, ranks, strict=True))
    seconds = max(mine / rank.rows_per_second for mine, rank in zip(rows, ranks, strict=True))
    ideal = batch_rows / sum(rank.rows_per_second for rank in ranks)
    return Plan(tuple(rows), pieces, seconds, ideal / seconds)


def probe_rank(job: Job, device: str, memory_bytes: int, probe_seconds: float = 10.0) -> RankSpeed:
    """Measure one device with one and with two rows a step of `job`; what differs is what a row costs."""
    alone = replace(job, device=device, gradient_accumulation=1, launch=Launch(), validation_rows=None)
    one, two = (estimate_run(replace(alone, batch_rows=rows), probe_seconds / 2) for rows in (1, 2))
    row_bytes = max(1, two.memory_bytes - one.memory_bytes)
    return RankSpeed(device, 2 / two.step_seconds, max(0, one.memory_bytes - row_bytes), row_bytes, memory_bytes)


def _divide(speeds: Sequence[float], batch_rows: int) -> list[int]:
    rows = [1] * len(speeds)
    for _ in range(batch_rows - len(speeds)):
        first = min(range(len(speeds)), key=lambda rank: (rows[rank] + 1) / speeds[rank])
        rows[first] += 1
    return rows
