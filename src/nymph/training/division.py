"""The ways to divide a step among devices that fit their memory, and what each would need: copies, shards, stages.

Weights, gradients and AdamW's two moments are 16 bytes a parameter; whatever else a device was measured to hold is
not divided. Shards are equal, so the smallest device decides; stages are not.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from nymph.model.config import ModelConfig
from nymph.training.probe import RankSpeed
from nymph.training.stages import holders, names_and_shapes

Sharding = Literal["none", "optimizer", "full"]
_BUBBLE = 4
"""Micro-batches for each stage, where the memory allows a choice: stages then stand still for a fifth of a step."""


@dataclass(frozen=True)
class Division:
    """A division that fits."""

    rows: tuple[int, ...]
    """Of a step, by rank."""
    pieces: int
    """Micro-batches."""
    memory_bytes: tuple[int, ...]
    """Predicted peak, by rank."""
    step_seconds: float
    sharding: Sharding = "none"
    layers: tuple[int, ...] = ()


def in_copies(ranks: Sequence[RankSpeed], batch_rows: int, model: ModelConfig) -> Division | None:
    """Every rank has the whole model."""
    return _by_speed(ranks, batch_rows, "none", lambda rank, pieces: rank.fixed_bytes)


def in_optimizer_shards(ranks: Sequence[RankSpeed], batch_rows: int, model: ModelConfig) -> Division | None:
    """Gradients and moments are cut; the weights are whole during a step, and the gradients outside the blocks."""
    return _in_shards(ranks, batch_rows, "optimizer", 1.0 + _outside_blocks(model))


def in_full_shards(ranks: Sequence[RankSpeed], batch_rows: int, model: ModelConfig) -> Division | None:
    """Weights too are cut; whole is only what is outside the blocks, with its gradients."""
    return _in_shards(ranks, batch_rows, "full", 2 * _outside_blocks(model))


def in_stages(ranks: Sequence[RankSpeed], batch_rows: int, model: ModelConfig) -> Division | None:
    """Each rank has some layers, more where there is more memory; the last ones also heads, the first embeddings."""
    count = len(ranks)
    if not 1 < count <= model.layers:
        return None
    layers = stages_by_memory([rank.memory_bytes for rank in ranks], model.layers)
    weights = _weights_of_stages(model, layers)
    for pieces in _numbers_of_pieces(batch_rows, count):
        micro = batch_rows // pieces
        memory = tuple(
            round(
                rank.other_bytes
                + rank.weights_bytes * weights[place]
                + min(pieces, count - place) * micro * rank.row_bytes * layers[place] / model.layers
            )
            for place, rank in enumerate(ranks)
        )
        if all(need <= rank.usable_bytes for need, rank in zip(memory, ranks, strict=True)):
            slowest = max(
                micro * mine / model.layers / rank.rows_per_second for mine, rank in zip(layers, ranks, strict=True)
            )
            seconds = (pieces + count - 1) * slowest
            return Division((batch_rows,) * count, pieces, memory, seconds, layers=layers)
    return None


WAYS = (in_copies, in_optimizer_shards, in_full_shards, in_stages)
"""From the one that exchanges least to the one that needs least memory."""


def stages_by_memory(memory: Sequence[int], layers: int) -> tuple[int, ...]:
    """Layers for devices of so many bytes: each next one goes where it takes the smallest share of the memory."""
    stages = [1] * len(memory)
    for _ in range(layers - len(memory)):
        roomiest = min(range(len(memory)), key=lambda rank: (stages[rank] + 1) / memory[rank])
        stages[roomiest] += 1
    return tuple(stages)


def _in_shards(ranks: Sequence[RankSpeed], batch_rows: int, sharding: Sharding, gathered: float) -> Division | None:
    """`gathered` is the share of the weights, and of the gradients, that is whole at some moment."""
    if len(ranks) < 2:
        return None

    def fixed(rank: RankSpeed, pieces: int) -> float:
        waiting = 1.0 if pieces > 1 else 0.0  # gradients of all but the last micro-batch are summed whole
        return rank.other_bytes + rank.weights_bytes * (1 / len(ranks) + gathered / 4 + waiting / 4)

    return _by_speed(ranks, batch_rows, sharding, fixed)


def _by_speed(
    ranks: Sequence[RankSpeed], batch_rows: int, sharding: Sharding, fixed: Callable[[RankSpeed, int], float]
) -> Division | None:
    """Rows in proportion to speed, in as few micro-batches as fit beside the `fixed` bytes of each rank."""
    rows = _divide([rank.rows_per_second for rank in ranks], batch_rows)
    seconds = max(mine / rank.rows_per_second for mine, rank in zip(rows, ranks, strict=True))
    for pieces in range(1, max(rows) + 1):
        memory = tuple(
            round(fixed(rank, pieces) + math.ceil(mine / pieces) * rank.row_bytes)
            for mine, rank in zip(rows, ranks, strict=True)
        )
        if all(need <= rank.usable_bytes for need, rank in zip(memory, ranks, strict=True)):
            return Division(tuple(rows), pieces, memory, seconds, sharding)
    return None


def _divide(speeds: Sequence[float], batch_rows: int) -> list[int]:
    rows = [1] * len(speeds)
    for _ in range(batch_rows - len(speeds)):
        first = min(range(len(speeds)), key=lambda rank: (rows[rank] + 1) / speeds[rank])
        rows[first] += 1
    return rows


def _outside_blocks(model: ModelConfig) -> float:
    """Their share of the parameters."""
    shapes = names_and_shapes(model)
    outside = sum(shape.numel() for name, shape in shapes.items() if not name.startswith("transformer.blocks."))
    return outside / sum(shape.numel() for shape in shapes.values())


def _weights_of_stages(model: ModelConfig, layers: tuple[int, ...]) -> list[float]:
    """The share of the parameters that each stage has."""
    shapes = names_and_shapes(model)
    numbers = [0] * len(layers)
    for name, shape in shapes.items():
        for rank in holders(model, layers, name):
            numbers[rank] += shape.numel()
    total = sum(shape.numel() for shape in shapes.values())
    return [number / total for number in numbers]


def _numbers_of_pieces(batch_rows: int, stages: int) -> list[int]:
    """Divisors of the rows, one or more for each stage: first the smallest that keep all stages busy, then the rest."""
    divisors = [pieces for pieces in range(stages, batch_rows + 1) if batch_rows % pieces == 0]
    enough = [pieces for pieces in divisors if pieces >= _BUBBLE * stages]
    return enough + [pieces for pieces in reversed(divisors) if pieces not in enough]
