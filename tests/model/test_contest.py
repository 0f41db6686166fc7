from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nymph.model.contest import quickest


class Stopwatch:
    """A clock that runs move on by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def run(self, seconds: float, value: float = 1.0) -> Callable[[], list[Tensor]]:
        def taken() -> list[Tensor]:
            self.now += seconds
            return [torch.full((3,), value)]

        return taken


def failing() -> list[Tensor]:
    raise RuntimeError("no compiler")


def test_the_quickest_is_chosen_and_the_times_are_the_reason() -> None:
    clock = Stopwatch()
    name, reason = quickest({"a": clock.run(0.002), "b": clock.run(0.001)}, clock)
    assert name == "b"
    assert reason == "by trial a took 2.00 ms, b took 1.00 ms"


@pytest.mark.parametrize("other", [failing, Stopwatch().run(0.0, value=2.0)])
def test_what_fails_or_gives_other_numbers_is_out(other: Callable[[], list[Tensor]]) -> None:
    clock = Stopwatch()
    name, reason = quickest({"a": clock.run(0.002), "b": other}, clock)
    assert name == "a"
    assert "b failed (RuntimeError)" in reason or "b gave other numbers" in reason


def test_the_first_must_work() -> None:
    with pytest.raises(RuntimeError):
        quickest({"a": failing}, Stopwatch())
