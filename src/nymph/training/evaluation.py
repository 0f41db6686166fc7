"""The validation loss: every row once, in file order, under masks that are the same each time."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from nymph.flight.source import RowSource
from nymph.flight.tickets import Ticket
from nymph.model.config import ObjectiveConfig
from nymph.model.multimodal import MultimodalModel
from nymph.model.objectives import ACCURACY
from nymph.sequences.collation import Batch, collate
from nymph.training.data import check_batch
from nymph.training.devices import autocast
from nymph.training.objectives import Objectives
from nymph.training.preflight import largest_batch
from nymph.training.targets import micro_seed
from nymph.training.world import World


@dataclass(frozen=True)
class Evaluation:
    """Losses over a set of rows."""

    loss: float
    """Weighted sum of the objectives' mean losses."""
    losses: dict[str, float]
    accuracy: float | None
    """Share of tokens guessed right."""
    perplexity: float | None
    """exp of the next-token loss."""


def evaluate(
    model: MultimodalModel,
    source: RowSource,
    objectives: ObjectiveConfig,
    world: World,
    batch_rows: int = 8,
    rows: int | None = None,
    precision: str = "fp32",
    hide: frozenset[str] = frozenset(),
    losses: nn.Module | None = None,
) -> Evaluation:
    """Mean losses over the first `rows` rows of `source` (None is all), shared by the ranks.

    `hide` withholds modalities from the model (an ablation); `losses` is the module that holds the model, where it is
    cut over the ranks. Leaves the model in the mode it came in.
    """
    losses = losses or Objectives(model, objectives)
    sums: defaultdict[str, float] = defaultdict(float)
    counts: defaultdict[str, float] = defaultdict(float)
    training = model.training
    model.eval()
    with torch.no_grad(), autocast(precision, world.device):
        batches = _batches(source, model, world, batch_rows, rows)
        for index, (batch, counted) in enumerate(_in_step(batches, model, world)):
            found = losses(batch, micro_seed(0, 0, world.reader[0], index), hide)
            for name, (loss, count) in found.items() if counted else ():
                sums[name] += loss.item()
                counts[name] += count.item()
    model.train(training)
    return _means(objectives, *_over_ranks(world, [*objectives.weights(), ACCURACY], sums, counts))


def _batches(
    source: RowSource, model: MultimodalModel, world: World, batch_rows: int, rows: int | None
) -> Iterator[Batch]:
    stop = source.rows if rows is None else min(rows, source.rows)
    rank, size = world.reader
    ticket = Ticket(source.table, stop=stop, rank=rank, world=size, batch_rows=batch_rows, shuffle=False)
    for rows_of_batch in source.batches(ticket):
        batch = collate(rows_of_batch)
        check_batch(batch, model.config)
        yield batch


def _in_step(batches: Iterator[Batch], model: MultimodalModel, world: World) -> Iterator[tuple[Batch, bool]]:
    """Batches on every rank until no rank has one left, and whether they count: shards are gathered by all or none."""
    while True:
        batch, error = _next(batches) if world.size > 1 else (next(batches, None), None)
        some, failed = world.sum([float(batch is not None), float(error is not None)])
        world.end_together(failed, error)
        if not some:
            return
        filler = largest_batch(model.config, 1, audio=False) if batch is None else batch
        yield {name: tensor.to(world.device) for name, tensor in filler.items()}, batch is not None


def _next(batches: Iterator[Batch]) -> tuple[Batch | None, Exception | None]:
    try:
        return next(batches, None), None
    except Exception as error:  # the other ranks must hear of it before this one raises
        return None, error


def _over_ranks(
    world: World, names: list[str], sums: Mapping[str, float], counts: Mapping[str, float]
) -> tuple[dict[str, float], dict[str, float]]:
    numbers = world.sum([*(sums[name] for name in names), *(counts[name] for name in names)])
    return dict(zip(names, numbers, strict=False)), dict(zip(names, numbers[len(names) :], strict=True))


def _means(objectives: ObjectiveConfig, sums: Mapping[str, float], counts: Mapping[str, float]) -> Evaluation:
    means = {name: sums[name] / count for name, count in counts.items() if count}
    accuracy = means.pop(ACCURACY, None)
    loss = sum(weight * means[name] for name, weight in objectives.weights().items() if name in means)
    token = means.get("next_token")
    perplexity = math.exp(token) if token is not None and token < 700 else None
    return Evaluation(loss if means else math.nan, means, accuracy, perplexity)
