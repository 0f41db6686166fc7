"""Sharing a step among unequal devices: rows in proportion to measured speed, within each one's memory.

A step ends when the slowest rank does, so each row goes to the rank that would finish it first; for rows of equal
cost no other division of whole rows ends sooner. Memory does not limit a rank's rows, only its micro-batch. A model
that does not fit every device is cut up: into shards where these fit, else into stages of as many layers as there is
memory for. Exchange between ranks is not in the prediction: it is measured by the run itself, which says at its end
how far off it was.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from nymph.errors import NymphError
from nymph.model.config import ModelConfig
from nymph.plain import from_plain, to_plain
from nymph.training.division import WAYS, Division
from nymph.training.forecast import Prediction
from nymph.training.job import Job
from nymph.training.precision import HALVES, worthwhile
from nymph.training.probe import RankSpeed


@dataclass(frozen=True)
class PlannedRank:
    """One rank's part of a step."""

    device: str
    rows: int
    """Rows of a step; 1 or more. Through a stage all of them pass."""
    rows_per_second: float
    memory_bytes: int
    """What the device has."""
    predicted_memory_bytes: int
    layers: int = 0
    """Layers of its stage; 0 where it has the whole model, or a shard of it."""


@dataclass(frozen=True)
class Plan:
    """Who does what in a step. All but what is measured and predicted is meant to be edited."""

    ranks: tuple[PlannedRank, ...]
    gradient_accumulation: int
    """Micro-batches each rank cuts its rows into, so that they fit everywhere."""
    precision: Literal["auto", "fp32", "bf16", "fp16"]
    """The best that pays on every device."""
    step_seconds: float
    """Predicted, without what the ranks exchange."""
    efficiency: float
    """Predicted speed as a share of the sum of the ranks' own speeds."""
    sharding: Literal["none", "optimizer", "full"] = "none"
    """What is cut into equal pieces, one a rank, because it does not fit them whole."""

    def __post_init__(self) -> None:
        if not self.ranks or any(rank.rows < 1 for rank in self.ranks):
            raise NymphError("a plan needs ranks, and 1 or more rows for each of them")
        if self.stages and (min(self.stages) < 1 or len({rank.rows for rank in self.ranks}) > 1):
            raise NymphError(
                "where ranks have stages each needs 1 or more layers, and all rows pass through each: "
                f"got layers {list(self.stages)} and rows {[rank.rows for rank in self.ranks]}"
            )

    @property
    def stages(self) -> tuple[int, ...]:
        """Layers of each rank, empty where the model is not cut into stages."""
        layers = tuple(rank.layers for rank in self.ranks)
        return layers if any(layers) else ()

    @property
    def batch_rows(self) -> int:
        """Rows of a step."""
        return self.ranks[0].rows if self.stages else sum(rank.rows for rank in self.ranks)

    def apply(self, job: Job) -> Job:
        """`job` with this division of its rows, or of its model.

        Raises:
            NymphError: The plan is for another number of rows or layers.
        """
        if self.batch_rows != job.batch_rows:
            raise NymphError(
                f"the plan deals {self.batch_rows} rows a step, training.batch_rows is {job.batch_rows}; "
                "make them equal, or run `kedro plan` again"
            )
        divisor = math.gcd(*(rank.rows for rank in self.ranks))
        shares = tuple(rank.rows // divisor for rank in self.ranks)
        launch = replace(
            job.launch,
            ranks=len(self.ranks),
            shares=shares if len(shares) > 1 and not self.stages else (),
            sharding=self.sharding,
            stages=self.stages,
            devices=tuple(rank.device for rank in self.ranks),
        )
        memory = self.ranks[0].predicted_memory_bytes
        return replace(
            job,
            launch=launch,
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


def plan_step(ranks: Sequence[RankSpeed], batch_rows: int, model: ModelConfig) -> Plan:
    """Divide `batch_rows` rows of `model`, and the model where it must be, among `ranks`.

    Raises:
        NymphError: No division fits the devices, with the reason, or there are fewer rows than ranks.
    """
    if batch_rows < len(ranks):
        raise NymphError(f"batch_rows {batch_rows} is less than one row for each of {len(ranks)} ranks; raise it")
    for way in WAYS if all(rank.rows_per_second for rank in ranks) else ():
        if (found := way(ranks, batch_rows, model)) is not None:
            return _plan(ranks, batch_rows, found)
    raise NymphError(_refusal(ranks))


def _plan(ranks: Sequence[RankSpeed], batch_rows: int, found: Division) -> Plan:
    stages = found.layers or (0,) * len(ranks)
    planned = tuple(
        PlannedRank(rank.device, rows, rank.rows_per_second, rank.memory_bytes, memory, layers)
        for rank, rows, memory, layers in zip(ranks, found.rows, found.memory_bytes, stages, strict=True)
    )
    ideal = batch_rows / sum(rank.rows_per_second for rank in ranks)
    cut = found.sharding != "none" or bool(found.layers)
    return Plan(
        planned,
        found.pieces,
        _common_precision(ranks, HALVES[:1] if cut else HALVES),
        found.step_seconds,
        ideal / found.step_seconds,
        found.sharding,
    )


def _refusal(ranks: Sequence[RankSpeed]) -> str:
    rank = min(ranks, key=lambda rank: rank.largest_micro_batch)
    others = "; nor do shards or stages of it fit all devices together" if len(ranks) > 1 else ""
    advice = "free some memory, set training.gradient_checkpointing=true or choose a smaller training.preset"
    leave = ", or leave it out" if len(ranks) > 1 else ""
    return f"{rank.device} cannot hold the model and one row: {_need(rank)}{others}; {advice}{leave}"


def _need(rank: RankSpeed) -> str:
    memory = f"{rank.memory_bytes / 1e9:.2f} GB"
    if not rank.rows_per_second:
        return f"a part of it ran out of memory, of which it has {memory}"
    weights, other, row = rank.weights_bytes / 1e9, rank.other_bytes / 1e9, rank.row_bytes / 1e9
    need = (rank.fixed_bytes + rank.row_bytes) / 1e9
    return (
        f"weights, gradients and AdamW's state of {weights:.2f} GB, {other:.2f} GB that the process needs besides and "
        f"a row of {row:.2f} GB are {need:.2f} GB and a tenth is to spare, it has {memory}"
    )


def _common_precision(
    ranks: Sequence[RankSpeed], halves: Sequence[Literal["bf16", "fp16"]]
) -> Literal["fp32", "bf16", "fp16"]:
    for half in halves:
        if all(worthwhile(half, rank.gemm_flops) for rank in ranks):
            return half
    return "fp32"
