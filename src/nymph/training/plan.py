"""Sharing a step among unequal devices: rows in proportion to measured speed, within each one's memory.

A step ends when the slowest rank does, so each row goes to the rank that would finish it first; for rows of equal
cost no other division of whole rows ends sooner. Memory does not limit a rank's rows, only its micro-batch. Exchange
of gradients is not in the prediction: it is measured by the run itself, which says at its end how far off it was.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from nymph.errors import NymphError
from nymph.plain import from_plain, to_plain
from nymph.training.forecast import Prediction
from nymph.training.job import Job
from nymph.training.precision import HALVES, worthwhile
from nymph.training.probe import RankSpeed


@dataclass(frozen=True)
class PlannedRank:
    """One rank's part of a step."""

    device: str
    rows: int
    """Rows of a step; 1 or more."""
    rows_per_second: float
    memory_bytes: int
    """What the device has."""
    predicted_memory_bytes: int


@dataclass(frozen=True)
class Plan:
    """Who does what in a step. Editing `rows`, `gradient_accumulation` or `precision` is meant."""

    ranks: tuple[PlannedRank, ...]
    gradient_accumulation: int
    """Micro-batches each rank cuts its rows into, so that they fit everywhere."""
    precision: Literal["auto", "fp32", "bf16", "fp16"]
    """The best that pays on every device."""
    step_seconds: float
    """Predicted, without exchanging gradients."""
    efficiency: float
    """Predicted speed as a share of the sum of the ranks' own speeds."""

    def __post_init__(self) -> None:
        if not self.ranks or any(rank.rows < 1 for rank in self.ranks):
            raise NymphError("a plan needs ranks, and 1 or more rows for each of them")

    @property
    def batch_rows(self) -> int:
        """Rows of a step."""
        return sum(rank.rows for rank in self.ranks)

    def apply(self, job: Job) -> Job:
        """`job` with this division of its rows.

        Raises:
            NymphError: The plan is for another number of rows.
        """
        if self.batch_rows != job.batch_rows:
            raise NymphError(
                f"the plan deals {self.batch_rows} rows a step, training.batch_rows is {job.batch_rows}; "
                "make them equal, or run `kedro plan` again"
            )
        divisor = math.gcd(*(rank.rows for rank in self.ranks))
        shares = tuple(rank.rows // divisor for rank in self.ranks)
        memory = max(rank.predicted_memory_bytes for rank in self.ranks)
        return replace(
            job,
            launch=replace(job.launch, ranks=len(self.ranks), shares=shares if len(shares) > 1 else ()),
            gradient_accumulation=self.gradient_accumulation,
            precision=self.precision,
            prediction=Prediction(source="plan", step_seconds=self.step_seconds, memory_bytes=memory),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dict(to_plain(self))

    @classmethod
    def from_dict(cls, values: Any) -> "Plan":
        """A plan from plain values; NymphError names what is wrong in it."""
        return from_plain(cls, values, "plan")


def plan_step(ranks: Sequence[RankSpeed], batch_rows: int, layers: int = 0) -> Plan:
    """Divide `batch_rows` rows among `ranks`.

    Raises:
        NymphError: A device cannot hold the model and one row, or there are fewer rows than ranks. Where all together
            could hold its `layers`, it says how they would share them.
    """
    for rank in ranks:
        _check_memory(rank, _shared(ranks, layers))
    if batch_rows < len(ranks):
        raise NymphError(f"batch_rows {batch_rows} is less than one row for each of {len(ranks)} ranks; raise it")
    rows = _divide([rank.rows_per_second for rank in ranks], batch_rows)
    pieces = max(math.ceil(mine / rank.largest_micro_batch) for mine, rank in zip(rows, ranks, strict=True))
    seconds = max(mine / rank.rows_per_second for mine, rank in zip(rows, ranks, strict=True))
    ideal = batch_rows / sum(rank.rows_per_second for rank in ranks)
    planned = tuple(_planned(rank, mine, pieces) for mine, rank in zip(rows, ranks, strict=True))
    return Plan(planned, pieces, _common_precision(ranks), seconds, ideal / seconds)


def stages_by_memory(memory: Sequence[int], layers: int) -> tuple[int, ...]:
    """Layers for devices of so many bytes: each next one goes where it takes the smallest share of the memory."""
    stages = [1] * len(memory)
    for _ in range(layers - len(memory)):
        roomiest = min(range(len(memory)), key=lambda rank: (stages[rank] + 1) / memory[rank])
        stages[roomiest] += 1
    return tuple(stages)


def _shared(ranks: Sequence[RankSpeed], layers: int) -> str:
    """The other ways, where there are several devices that could hold the model together."""
    together = sum(0.9 * rank.memory_bytes - rank.row_bytes for rank in ranks)
    if not 1 < len(ranks) <= layers or together < max(rank.fixed_bytes for rank in ranks):
        return ""
    stages = list(stages_by_memory([rank.memory_bytes for rank in ranks], layers))
    return f", launch.sharding: full, or launch.stages: {stages} with gradient_accumulation of {len(ranks)} or more"


def _check_memory(rank: RankSpeed, others: str) -> None:
    if rank.largest_micro_batch < 1:
        need = (rank.fixed_bytes + rank.row_bytes) / 1e9
        raise NymphError(
            f"{rank.device} cannot hold the model and one row: they need {need:.1f} GB and a tenth to spare, "
            f"it has {rank.memory_bytes / 1e9:.1f} GB; leave it out, or use gradient_checkpointing{others}"
        )


def _planned(rank: RankSpeed, rows: int, pieces: int) -> PlannedRank:
    memory = rank.fixed_bytes + math.ceil(rows / pieces) * rank.row_bytes
    return PlannedRank(rank.device, rows, rank.rows_per_second, rank.memory_bytes, memory)


def _common_precision(ranks: Sequence[RankSpeed]) -> Literal["fp32", "bf16", "fp16"]:
    for half in HALVES:
        if all(worthwhile(half, rank.gemm_flops) for rank in ranks):
            return half
    return "fp32"


def _divide(speeds: Sequence[float], batch_rows: int) -> list[int]:
    rows = [1] * len(speeds)
    for _ in range(batch_rows - len(speeds)):
        first = min(range(len(speeds)), key=lambda rank: (rows[rank] + 1) / speeds[rank])
        rows[first] += 1
    return rows
