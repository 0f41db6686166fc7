"""Series keep their extremes whatever is left out."""

import math

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nymph.dashboard.series import CAPACITY, Series, extremes

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def series_of(values: list[float]) -> Series:
    series = Series()
    for step, value in enumerate(values):
        series.append(step, step, value)
    return series


@UNHURRIED
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=500), st.integers(2, 40))
def test_lowest_highest_first_and_last_survive(values: list[float], points: int) -> None:
    array = np.array(values)
    kept = array[extremes(array, points)]
    assert (kept.min(), kept.max()) == (array.min(), array.max())
    assert (kept[0], kept[-1]) == (array[0], array[-1])


@UNHURRIED
@given(st.integers(1, 5000), st.integers(2, 100))
def test_no_more_points_than_asked_for(count: int, points: int) -> None:
    assert len(extremes(np.arange(count, dtype=float), points)) <= points + 3


def test_one_spike_in_a_hundred_thousand_is_drawn() -> None:
    values = np.zeros(100_000)
    values[54_321] = 9.0
    assert 54_321 in extremes(values, 100)


def test_a_gap_stays_a_gap() -> None:
    values = np.ones(1000)
    values[400:600] = math.nan
    assert np.isnan(values[extremes(values, 100)]).any()


def test_numbers_json_does_not_know_become_null() -> None:
    assert series_of([1.0, math.nan, math.inf, 1e308]).since(-1, 10).plain() == [[0, 1, 2, 3], [1.0, None, None, 1e308]]


def test_since_gives_only_what_is_new() -> None:
    assert series_of([1.0, 2.0, 3.0]).since(1, 10).plain() == [[2], [3.0]]


def test_between_reaches_one_point_beyond_each_edge() -> None:
    assert series_of([float(i) for i in range(10)]).between(4, 5, 10).steps.tolist() == [3, 4, 5, 6]


def test_a_resumed_run_forgets_the_steps_it_makes_again() -> None:
    series = series_of([1.0, 2.0, 3.0])
    series.cut_after(1)
    assert list(series.steps) == [0, 1]


def test_memory_is_bounded_and_the_spike_is_still_there() -> None:
    series = series_of([9.0 if i == 777 else 0.0 for i in range(CAPACITY + 10)])
    assert len(series) <= CAPACITY
    assert max(series.values) == 9.0
