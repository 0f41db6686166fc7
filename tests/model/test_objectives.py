from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nymph.model.config import ObjectiveConfig
from nymph.model.multimodal import MultimodalModel
from nymph.model.objectives import ACCURACY, compute, total

Make = Callable[..., MultimodalModel]
PLAIN = ObjectiveConfig(mask_share=0.0, label_share=0.0)


def test_every_objective_counts_its_targets(make_model: Make, batch: dict[str, Tensor]) -> None:
    losses = compute(make_model(), batch, ObjectiveConfig(label_share=1.0, mask_share=1.0))
    counts = {name: int(count) for name, (_, count) in losses.items()}
    prosody = int((~batch["prosody"].isnan().all(-1)).sum())
    assert counts == {
        "next_token": 71,
        ACCURACY: 71,
        "next_audio": 16,
        "masked_modality": 16 + prosody,
        "sentiment": 40,
        "speaker": 30,
    }


def test_next_token_is_plain_cross_entropy(make_model: Make, batch: dict[str, Tensor]) -> None:
    model = make_model()
    loss, count = compute(model, batch, PLAIN)["next_token"]
    document = batch["document"]
    target = batch["tokens"][:, 1:].masked_fill((document[:, 1:] != document[:, :-1]) | (document[:, 1:] == 0), -100)
    logits = model.logits(model(batch))[:, :-1]
    expected = F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=-100)
    torch.testing.assert_close(loss / count, expected)


def test_loss_weight_weighs_sum_and_count(make_model: Make, batch: dict[str, Tensor]) -> None:
    model = make_model()
    half = {**batch, "loss_weight": batch["loss_weight"] * 0.5}
    (loss, count), (half_loss, half_count) = (compute(model, b, PLAIN)["next_token"] for b in (batch, half))
    torch.testing.assert_close(half_loss, loss / 2)
    torch.testing.assert_close(half_count, count / 2)


@pytest.mark.parametrize("objective", ["multimodal", "autoencoder"])
def test_no_targets_is_zero_with_a_gradient_never_nan(objective: str, make_model: Make) -> None:
    model = make_model()
    empty = {"tokens": torch.zeros(1, 6, dtype=torch.long), "document": torch.zeros(1, 6, dtype=torch.long)}
    config = ObjectiveConfig(objective=objective)
    losses = compute(model, empty, config)
    assert all(float(loss.detach()) == 0 and float(count) == 0 for loss, count in losses.values())
    total(losses, config).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_a_seed_hides_the_same(make_model: Make, batch: dict[str, Tensor]) -> None:
    model = make_model().train()
    first, second, other = (
        total(compute(model, batch, ObjectiveConfig(), torch.Generator().manual_seed(seed)), ObjectiveConfig())
        for seed in (1, 1, 2)
    )
    assert first == second != other


def test_what_is_masked_is_not_seen(make_model: Make, batch: dict[str, Tensor]) -> None:
    config = ObjectiveConfig(mask_share=1.0, masked_modality=1.0, next_audio=0.0)
    changed = {**batch, "audio": batch["audio"] + 1}
    first, second = (compute(make_model(), b, config, torch.Generator().manual_seed(0)) for b in (batch, changed))
    assert torch.equal(first["next_token"][0], second["next_token"][0])


def test_labels_of_a_hidden_document_are_not_seen(make_model: Make, batch: dict[str, Tensor]) -> None:
    config = ObjectiveConfig(label_share=1.0)
    changed = {**batch, "sentiment": batch["sentiment"].clamp(max=0), "speaker_vectors": -batch["speaker_vectors"]}
    first, second = (compute(make_model(), b, config, torch.Generator().manual_seed(0)) for b in (batch, changed))
    assert torch.equal(first["next_token"][0], second["next_token"][0])
    assert first["sentiment"][0] != second["sentiment"][0]


def test_an_ablation_hides_everywhere_and_draws_nothing(make_model: Make, batch: dict[str, Tensor]) -> None:
    model = make_model()
    silent = {key: value for key, value in batch.items() if not key.startswith("audio")}
    ablated = compute(model, batch, PLAIN, hide=frozenset({"audio"}))
    torch.testing.assert_close(ablated["next_token"][0], compute(model, silent, PLAIN)["next_token"][0])


@pytest.mark.parametrize("config", [ObjectiveConfig(mask_share=0.5), ObjectiveConfig(objective="autoencoder")])
def test_training_lowers_the_loss(config: ObjectiveConfig, make_model: Make, batch: dict[str, Tensor]) -> None:
    model = make_model(modality_dropout=0.0)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    history = []
    for _ in range(30):
        loss = total(compute(model, batch, config, torch.Generator().manual_seed(0)), config)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(float(loss.detach()))
    assert history[-1] < 0.6 * history[0]
