from dataclasses import replace

import pyarrow as pa
import pytest
import torch

from nymph.model.config import ObjectiveConfig
from nymph.model.multimodal import MultimodalModel
from nymph.sequences.collation import collate
from nymph.training.data import MicroBatch, StepRows
from nymph.training.job import Optimiser
from nymph.training.objectives import Objectives, ShardedObjectives
from nymph.training.optimisation import build_optimizer
from nymph.training.step import Stepper
from nymph.training.targets import count_targets
from nymph.training.world import World

from .conftest import TINY, table

MODEL = replace(TINY, modality_dropout=0.0)
OBJECTIVES = ObjectiveConfig(mask_share=0.0, label_share=0.0)


def gradients(
    *rows: pa.RecordBatch, kind: type[Objectives] = Objectives, sound: bool = True
) -> dict[str, torch.Tensor]:
    """Of one step over these micro-batches, as the optimizer would see them."""
    torch.manual_seed(0)
    model = MultimodalModel(MODEL).train()
    losses, optimizer = kind(model, OBJECTIVES), build_optimizer(model, Optimiser())
    stepper = Stepper(losses, optimizer, World(torch.device("cpu")), clip=0.0)
    seen: dict[str, torch.Tensor] = {}

    def keep(loss: float, norm: float) -> str:
        seen.update({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
        return "only looking"

    batches = [collate(some) for some in rows]
    if not sound:
        batches = [{**batch, "audio": batch["audio"][:0], "audio_index": batch["audio_index"][:0]} for batch in batches]
    micro = tuple(MicroBatch(batch, 0, count_targets(batch, MODEL, OBJECTIVES, 0)) for batch in batches)
    stepper(StepRows(0, 7, micro), keep)
    return seen


@pytest.mark.parametrize("sizes", [(3, 3, 1), (1, 6), (1,) * 7])
def test_uneven_micro_batches_give_the_gradient_of_one_big_batch(sizes: tuple[int, ...]) -> None:
    rows = table(7).combine_chunks().to_batches()[0]
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    whole, parts = (
        gradients(rows),
        gradients(*(rows.slice(start, size) for start, size in zip(starts, sizes, strict=True))),
    )
    assert whole.keys() == parts.keys()
    for name, gradient in whole.items():
        assert (parts[name] - gradient).norm() <= 1e-6 * max(1.0, float(gradient.norm())), name


@pytest.mark.parametrize("sound", [True, False])
def test_with_shards_the_same_parameters_are_left_alone(sound: bool) -> None:
    rows = table(4).combine_chunks().to_batches()[0]
    alone, sharded = (gradients(rows, kind=kind, sound=sound) for kind in (Objectives, ShardedObjectives))
    assert ("audio_projection.weight" in alone) == sound
    assert alone.keys() == sharded.keys() < dict(MultimodalModel(MODEL).named_parameters()).keys()
    assert all(torch.equal(gradient, sharded[name]) for name, gradient in alone.items())
