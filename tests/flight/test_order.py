"""The order of rows: a permutation for every size, seed and epoch, the same everywhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nymph.flight.order import Order, share

SIZES = st.one_of(st.integers(1, 5000), st.sampled_from([2**10, 2**10 + 1, 2**12 - 1, 59**2, 59**2 + 1]))


@settings(max_examples=150, deadline=None)
@given(SIZES, st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**62), st.integers(1, 70))
def test_every_row_has_exactly_one_position(rows: int, seed: int, epoch: int, block: int) -> None:
    order = Order(rows, seed, epoch, block=block).rows_at(np.arange(rows))
    assert np.array_equal(np.sort(order), np.arange(rows))


def test_ten_million_rows_are_a_permutation() -> None:
    rows = 10_000_019
    seen = np.zeros(rows, bool)
    for begin in range(0, rows, 1_000_000):
        seen[Order(rows, 7, 3).rows_at(np.arange(begin, min(rows, begin + 1_000_000)))] = True
    assert seen.all()


def test_far_positions_of_a_huge_table_stay_inside_and_differ() -> None:
    rows = 10**15 + 37
    order = Order(rows, 1).rows_at(rows - 1 - np.arange(10_000))
    assert order.min() >= 0
    assert order.max() < rows
    assert len(np.unique(order)) == 10_000


def test_the_order_is_pinned_so_that_old_checkpoints_keep_their_rows() -> None:
    assert Order(10, seed=1).rows_at(np.arange(10)).tolist() == [5, 6, 8, 1, 0, 2, 3, 4, 7, 9]
    assert Order(10, seed=1, block=3).rows_at(np.arange(10)).tolist() == [9, 0, 1, 2, 3, 4, 5, 6, 7, 8]


def test_seed_and_epoch_change_the_order() -> None:
    orders = [Order(1000, seed, epoch).rows_at(np.arange(1000)) for seed, epoch in [(0, 0), (0, 1), (1, 0)]]
    shared = [np.count_nonzero(first == second) for first, second in [orders[:2], orders[1:], orders[::2]]]
    assert max(shared) < 10  # two random orders share one row on average


def test_every_row_is_as_likely_at_every_position() -> None:
    counts = np.zeros((10, 10))
    for seed in range(5000):
        counts[np.arange(10), Order(10, seed).rows_at(np.arange(10))] += 1
    chi_squared = np.sum((counts - 500) ** 2 / 500)
    assert chi_squared < 150  # 81 degrees of freedom: 150 is beyond 1 in 100 000


def test_neighbours_are_spread_over_the_table() -> None:
    order = Order(100_000, 5).rows_at(np.arange(100_000))
    steps = np.abs(np.diff(order))
    assert abs(steps.mean() / 100_000 - 1 / 3) < 0.01
    assert abs(np.corrcoef(np.arange(100_000), order)[0, 1]) < 0.02


def test_blocks_stay_together() -> None:
    order = Order(1000, 3, block=50).rows_at(np.arange(1000))
    assert np.count_nonzero(np.diff(order) == 1) >= 20 * 49 - 1


def test_without_shuffle_the_order_is_the_files() -> None:
    assert Order(5, 9, shuffle=False).rows_at(np.array([4, 0])).tolist() == [4, 0]


@pytest.mark.parametrize("position", [-1, 10])
def test_a_position_outside_is_an_error(position: int) -> None:
    with pytest.raises(IndexError, match=r"\[0, 10\)"):
        Order(10).rows_at(np.array([position]))


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 8))
def test_ranks_share_the_positions_without_gap_or_overlap(start: int, length: int, world: int) -> None:
    taken = []
    for rank in range(world):
        first, count = share(start, start + length, rank, world)
        taken += [first + number * world for number in range(count)]
    assert sorted(taken) == list(range(start, start + length))
