import pytest
import torch
from torch import nn

from nymph.errors import NymphError
from nymph.training.job import Optimiser
from nymph.training.optimisation import (
    build_optimizer,
    load_optimizer_tensors,
    non_finite,
    optimizer_tensors,
    set_learning_rate,
)


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 2))


def step(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    net(torch.ones(3, 4)).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def test_only_matrices_decay() -> None:
    groups = build_optimizer(model(), Optimiser(weight_decay=0.3)).param_groups
    assert {(parameter.ndim, group["weight_decay"]) for group in groups for parameter in group["params"]} == {
        (2, 0.3),
        (1, 0.0),
    }


def test_patterns_freeze_and_slow_down() -> None:
    net = model()
    optimizer = build_optimizer(net, Optimiser(learning_rate=1.0, freeze_modules=("1.*",), learning_rates={"2.*": 0.1}))
    before = {name: parameter.clone() for name, parameter in net.named_parameters()}
    assert {group["lr"] for group in optimizer.param_groups} == {1.0, 0.1}
    step(net, optimizer)
    moved = {name for name, parameter in net.named_parameters() if not parameter.equal(before[name])}
    assert moved == {"0.weight", "0.bias", "2.weight", "2.bias"}


def test_a_module_is_frozen_by_its_name() -> None:
    net = model()
    build_optimizer(net, Optimiser(freeze_modules=("1", "2.bias")))
    frozen = {name for name, parameter in net.named_parameters() if not parameter.requires_grad}
    assert frozen == {"1.weight", "1.bias", "2.bias"}


def test_a_pattern_that_fits_nothing_is_refused() -> None:
    with pytest.raises(NymphError, match=r"'0\.wieght' fits no parameter; did you mean '0\.weight'"):
        build_optimizer(model(), Optimiser(freeze_modules=("0.wieght",)))


def test_state_saved_and_loaded_continues_exactly() -> None:
    one, other = model(), model()
    first, second = build_optimizer(one, Optimiser()), build_optimizer(other, Optimiser())
    step(one, first)
    other.load_state_dict(one.state_dict())
    load_optimizer_tensors(other, second, optimizer_tensors(one, first))
    step(one, first), step(other, second)
    assert all(a.equal(b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_state_of_another_model_is_refused_by_name() -> None:
    net = model()
    optimizer = build_optimizer(net, Optimiser())
    tensors = optimizer_tensors(net, optimizer)
    del tensors["2.bias.exp_avg"]
    with pytest.raises(NymphError, match=r"'2\.bias\.exp_avg' is missing"):
        load_optimizer_tensors(net, optimizer, tensors)


def test_empty_state_from_the_start_trains_like_torchs_own() -> None:
    ours, theirs = model(), model()
    options = Optimiser(weight_decay=0.0)
    optimizer = build_optimizer(ours, options)
    peer = torch.optim.AdamW(theirs.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    for _ in range(3):
        step(ours, optimizer), step(theirs, peer)
    assert all(a.equal(b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_the_schedule_moves_every_group_from_its_own_peak() -> None:
    optimizer = build_optimizer(model(), Optimiser(learning_rate=1.0, learning_rates={"2.*": 0.1}))
    assert set_learning_rate(optimizer, 0.5) == 0.5
    assert {group["lr"] for group in optimizer.param_groups} == {0.5, 0.05}


def test_non_finite_values_are_named() -> None:
    tensors = {"good": torch.ones(3), "bad": torch.tensor([1.0, torch.nan]), "inf": torch.tensor(torch.inf)}
    assert non_finite(tensors) == ["bad", "inf"]
