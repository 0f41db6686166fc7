from collections.abc import Callable

import pytest
import torch

from nymph.model.cache import Cache
from nymph.model.config import ModelConfig
from nymph.model.estimate import estimate, seen_positions, table
from nymph.model.multimodal import MultimodalModel
from nymph.model.presets import preset


def test_parameters_are_those_of_the_built_model(form: str, make_config: Callable[..., ModelConfig]) -> None:
    config = make_config(form)
    assert estimate(config).parameters == sum(p.numel() for p in MultimodalModel(config).parameters())


def test_cache_bytes_are_those_of_a_filled_cache(form: str, make_model: Callable[..., MultimodalModel]) -> None:
    model = make_model(form)
    cache = Cache(model.config, 50)
    model({"tokens": torch.zeros(1, 50, dtype=torch.long)}, cache=cache)
    costs = estimate(model.config, length=50, itemsize=4)
    assert cache.bytes_held() == 50 * costs.cache_bytes_per_token + costs.window_cache_bytes


def test_flops_are_those_torch_counts(make_config: Callable[..., ModelConfig]) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    config = make_config("mha")
    model = MultimodalModel(config)
    tokens = {"tokens": torch.zeros(1, 32, dtype=torch.long)}
    with FlopCounterMode(display=False) as counter:
        model.logits(model(tokens)).sum().backward()
    linear = 6 * estimate(config).matrix_parameters * 32
    assert counter.get_total_flops() >= linear
    assert counter.get_total_flops() == pytest.approx(estimate(config, length=32).flops_per_token * 32, rel=0.15)


@pytest.mark.parametrize(("length", "window"), [(10, None), (10, 3), (10, 100), (7, 7)])
def test_seen_positions_counts_the_mask(length: int, window: int | None) -> None:
    distance = torch.arange(length)[:, None] - torch.arange(length)
    mask = (distance >= 0) & (distance < (window or length))
    assert seen_positions(length, window) == pytest.approx(float(mask.sum()) / length)


def test_mla_caches_less_than_gqa() -> None:
    for name in ("tiny", "small", "large"):
        latent, grouped = (estimate(preset(name, form)) for form in ("mla", "gqa"))
        assert latent.cache_bytes_per_token < grouped.cache_bytes_per_token


def test_the_table_names_every_preset() -> None:
    assert table().count("\n") == 10
