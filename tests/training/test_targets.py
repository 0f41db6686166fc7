from dataclasses import replace

import pytest
import torch

from nymph.model.config import ObjectiveConfig
from nymph.model.multimodal import MultimodalModel
from nymph.model.objectives import compute
from nymph.sequences.collation import collate
from nymph.training.targets import count_targets, micro_seed

from .conftest import TINY, table


@pytest.mark.parametrize("objective", ["multimodal", "autoencoder"])
@pytest.mark.parametrize("seed", range(5))
def test_counts_ahead_are_the_counts_the_objectives_report(objective: str, seed: int) -> None:
    config = ObjectiveConfig(objective=objective)  # type: ignore[arg-type]
    model = replace(TINY, modality_dropout=0.3)
    batch = collate(table(6, seed).combine_chunks().to_batches()[0])
    batch["prosody"][2, 3:] = torch.nan
    losses = compute(MultimodalModel(model).train(), batch, config, torch.Generator().manual_seed(seed))
    counted = count_targets(batch, model, config, seed)
    assert counted == {name: losses[name][1].item() for name in config.weights()}
    assert sum(counted.values()) > 0


def test_rows_without_speakers_or_audio_have_no_such_targets() -> None:
    batch = collate(table(2).combine_chunks().to_batches()[0])
    batch |= {"speaker_vectors": torch.zeros(0, 256), "audio": torch.zeros(0, 640)}
    batch |= {"speaker": torch.full_like(batch["speaker"], -1), "audio_index": torch.zeros(0, dtype=torch.int64)}
    counts = count_targets(batch, TINY, ObjectiveConfig(label_share=1.0), seed=0)
    assert (counts["speaker"], counts["next_audio"]) == (0, 0)


def test_masks_differ_between_steps_ranks_and_micro_batches() -> None:
    seeds = {micro_seed(0, start, rank, index) for start in range(3) for rank in range(3) for index in range(3)}
    assert len(seeds) == 27
