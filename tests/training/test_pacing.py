"""Unhurried work rests, by a clock that only this test moves."""

from types import SimpleNamespace

import pytest

from nymph.training import pacing
from nymph.training.pacing import SHARE, Pace


class Clock:
    """Time that passes where somebody works or sleeps."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0
        self.hurried = False

    def perf_counter(self) -> float:
        return self.wall

    def thread_time(self) -> float:
        return self.cpu

    def work(self, seconds: float) -> None:
        self.wall, self.cpu = self.wall + seconds, self.cpu + seconds

    def wait(self, seconds: float) -> None:
        self.wall += 0 if self.hurried else seconds

    def set(self) -> None:
        self.hurried = True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pacing, "time", clock)
    monkeypatch.setattr(pacing, "threading", SimpleNamespace(Event=lambda: clock))
    return clock


def work(pace: Pace, clock: Clock, pieces: int) -> None:
    for _ in range(pieces):
        clock.work(0.01)
        pace.rest(1)


def test_where_there_is_time_work_takes_its_share_of_a_core(clock: Clock) -> None:
    work(Pace(100, seconds=1000), clock, 100)
    assert clock.wall == pytest.approx(1.0 / SHARE)


def test_it_is_done_in_time_and_evenly(clock: Clock) -> None:
    pace = Pace(100, seconds=4)
    work(pace, clock, 50)
    assert clock.wall == pytest.approx(2)
    work(pace, clock, 50)
    assert clock.wall == pytest.approx(4)


def test_work_that_is_late_does_not_rest(clock: Clock) -> None:
    work(Pace(100, seconds=0.5), clock, 100)
    assert clock.wall == pytest.approx(1)


def test_nobody_rests_while_somebody_waits(clock: Clock) -> None:
    pace = Pace(100, seconds=1000)
    pace.hurry()
    work(pace, clock, 100)
    assert clock.wall == pytest.approx(1)


def test_very_little_work_is_not_worth_a_rest_by_itself(clock: Clock) -> None:
    pace = Pace(1000, seconds=1000)
    for _ in range(2):
        clock.work(pacing.WORTH * 0.6)
        pace.rest(1)
    assert clock.wall == pytest.approx(pacing.WORTH * 1.2 / SHARE)
