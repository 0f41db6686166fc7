"""Time left, and how sure it is."""

from nymph.dashboard.estimate import Pace


def pace_of(durations: list[float]) -> Pace:
    pace, now = Pace(), 0.0
    for step, duration in enumerate(durations):
        now += duration
        pace.add(now, step)
    return pace


def test_even_steps_give_an_exact_answer() -> None:
    left, error = pace_of([2.0] * 50).left(149) or (0, 1)
    assert (round(left, 6), round(error, 6)) == (200.0, 0.0)


def test_uneven_steps_give_a_wider_error() -> None:
    _, narrow = pace_of([1.0, 1.1] * 40).left(1000) or (0, 0)
    _, wide = pace_of([1.0] * 40 + [3.0] * 40).left(1000) or (0, 0)
    assert wide > 10 * narrow


def test_one_step_is_not_a_pace() -> None:
    assert pace_of([1.0]).left(10) is None


def test_going_back_begins_anew() -> None:
    pace = pace_of([1.0] * 10)
    pace.add(1000.0, 3)
    pace.add(1002.0, 4)
    assert pace.seconds_per_step() == 2.0
