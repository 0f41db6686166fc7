from typing import Any

import pytest
from torch.distributed import HashStore

from nymph.training import stalls
from nymph.training.stalls import StallWatch


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(stalls.time, "monotonic", lambda: self.now)


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> tuple[Clock, list[StallWatch], list[Any]]:
    """Three ranks of one world on one clock; what rank 0 says."""
    clock, said, store = Clock(monkeypatch), [], HashStore()
    watches = [StallWatch(store, rank, 3, 30.0, said.append if rank == 0 else lambda text: None) for rank in range(3)]
    return clock, watches, said


def go_on(clock: Clock, watches: list[StallWatch], seconds: int) -> None:
    """Let time pass, with a look every 5 seconds."""
    for _ in range(0, seconds, 5):
        clock.now += 5
        for watch in watches[::-1]:
            watch.look()


def test_ranks_that_step_are_left_alone(group: Any) -> None:
    clock, watches, said = group
    for step in range(40):
        for watch in watches:
            watch.beat(step)
        go_on(clock, watches, 5)
    assert said == []
    assert watches[0].culprit() is None


def test_a_silent_rank_is_named_within_a_minute_and_once(group: Any) -> None:
    clock, watches, said = group
    for watch in watches:
        watch.beat(7)
    go_on(clock, watches, 5)
    go_on(clock, watches[:2], 55)  # the third is stopped
    (text,) = said
    assert "the others wait for rank 2 (silent for" in text
    assert "at step 7)" in text
    assert [(watch.culprit() or (None,))[0] for watch in watches[:2]] == [2, 2]


def test_a_rank_that_lives_but_lags_is_named(group: Any) -> None:
    clock, watches, said = group
    for rank, watch in enumerate(watches):
        watch.beat(4 if rank == 1 else 5)
    go_on(clock, watches, 60)
    assert said == ["no step for 30 s: the others wait for rank 1 (still at step 4)"]


def test_a_second_stall_is_told_again(group: Any) -> None:
    clock, watches, said = group
    for step in (1, 2):
        for watch in watches:
            watch.beat(step)
        go_on(clock, watches, 5)
        go_on(clock, watches[:2], 60)
        go_on(clock, watches, 5)
    assert len(said) == 2
