from itertools import pairwise

import pytest
import torch

from nymph.errors import NymphError
from nymph.training.schedule import Schedule, learning_rate_factor

SHAPES = ["cosine", "linear", "one_cycle", "wsd", "constant"]


def curve(schedule: Schedule, steps: int = 100) -> list[float]:
    return [learning_rate_factor(schedule, step, steps) for step in range(steps)]


@pytest.mark.parametrize("shape", SHAPES)
def test_it_rises_through_the_warmup_to_the_peak(shape: str) -> None:
    factors = curve(Schedule(type=shape, warmup_ratio=0.1))  # type: ignore[arg-type]
    assert all(low < high for low, high in pairwise(factors[:11]))
    assert 0 < factors[0] < 0.2
    assert factors[10] == 1.0


@pytest.mark.parametrize("shape", SHAPES[:-1])
def test_it_ends_at_the_minimum_and_never_rises_after_the_warmup(shape: str) -> None:
    factors = curve(Schedule(type=shape, warmup_ratio=0.1, minimum=0.05))  # type: ignore[arg-type]
    assert factors[-1] == pytest.approx(0.05)
    assert all(low >= high for low, high in pairwise(factors[10:]))


def test_warmup_stable_decay_holds_the_peak_until_the_last_fifth() -> None:
    factors = curve(Schedule(type="wsd", warmup_ratio=0.1, decay_ratio=0.2))
    assert factors[10:80] == [1.0] * 70
    assert factors[81] < 1.0


def test_cosine_agrees_with_torch() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    peer = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=99, eta_min=0.1)
    for factor in curve(Schedule(warmup_ratio=0.0, minimum=0.1)):
        assert factor == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
        optimizer.step()
        peer.step()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_run_of_few_steps_has_finite_positive_rates(shape: str, steps: int) -> None:
    assert all(0 < factor <= 1 for factor in curve(Schedule(type=shape, warmup_ratio=0.5), steps))  # type: ignore[arg-type]


def test_a_ratio_outside_0_to_1_is_refused() -> None:
    with pytest.raises(NymphError, match=r"schedule\.warmup_ratio must be between 0 and 1, got 1\.5"):
        Schedule(warmup_ratio=1.5)
