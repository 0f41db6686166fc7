"""Token budgets: each batch holds as many rows as fit, wherever the wire cut them."""

from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nymph.errors import NymphError
from nymph.flight.pieces import batches_of
from nymph.flight.tickets import Ticket

LENGTHS = st.lists(st.integers(0, 30), max_size=60)


class Ragged:
    """A table of rows with these numbers of tokens."""

    def __init__(self, lengths: list[int]) -> None:
        tokens = pa.array([list(range(length)) for length in lengths], pa.list_(pa.uint16()))
        self.batch = pa.record_batch({"id": list(range(len(lengths))), "tokens": tokens})
        self.schema, self.rows, self.nbytes = self.batch.schema, len(lengths), self.batch.nbytes

    def batches(self, budget: int, cuts: list[int]) -> list[list[int]]:
        edges = [0, *sorted(min(cut, self.rows) for cut in cuts), self.rows]
        pieces = (self.batch.slice(low, high - low) for low, high in pairwise(edges))
        return [batch["id"].to_pylist() for batch in batches_of(pieces, Ticket("t", batch_tokens=budget), self)]


@settings(max_examples=200, deadline=None)
@given(LENGTHS, st.integers(1, 90), st.lists(st.integers(0, 60), max_size=5))
def test_batches_are_the_longest_that_fit_the_budget(lengths: list[int], budget: int, cuts: list[int]) -> None:
    found = Ragged(lengths).batches(budget, cuts)
    assert [row for batch in found for row in batch] == list(range(len(lengths)))
    totals = [sum(lengths[row] for row in batch) for batch in found]
    assert all(total <= budget or len(batch) == 1 for total, batch in zip(totals, found, strict=True))
    assert all(total + lengths[batch[-1] + 1] > budget for total, batch in zip(totals[:-1], found, strict=False))


@given(LENGTHS, st.integers(1, 90), st.lists(st.integers(0, 60), max_size=5))
def test_the_wire_does_not_change_the_batches(lengths: list[int], budget: int, cuts: list[int]) -> None:
    assert Ragged(lengths).batches(budget, cuts) == Ragged(lengths).batches(budget, [])


def test_a_budget_needs_tokens() -> None:
    table = Ragged([1])
    with pytest.raises(NymphError, match="batch_tokens"):
        batches_of(iter([]), Ticket("t", ("id",), batch_tokens=5), table)
