from collections import Counter
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pyarrow as pa
import pytest

from nymph.errors import NymphError
from nymph.flight.order import Order
from nymph.flight.tickets import Ticket
from nymph.sequences.collation import collate
from nymph.training.data import Lanes, StepReader, check_batch, step_rows

from .conftest import TINY, JobMaker, table


class Numbers:
    """A source whose rows are their own numbers, in pieces of `size` rows."""

    schema = pa.schema({"row": pa.int64()})
    fingerprint = "0" * 32
    table = "numbers"

    def __init__(self, rows: int, size: int = 4, lost: int = 0) -> None:
        self.rows, self.size, self.lost = rows, size, lost

    def batches(self, ticket: Ticket) -> Iterator[pa.RecordBatch]:
        first, count = ticket.share(self.rows)
        positions = first + np.arange(count) * ticket.world
        numbers = ticket.order(self.rows).rows_at(positions)[: count - self.lost]
        for start in range(0, len(numbers), self.size):
            yield pa.record_batch([pa.array(numbers[start : start + self.size])], names=["row"])

    def close(self) -> None: ...


def rows_of(pieces: list[pa.RecordBatch]) -> list[int]:
    return [row for piece in pieces for row in piece["row"].to_pylist()]


def steps(count: int, source: Numbers, cursor: int = 0, batch_rows: int = 3, **options: object) -> list[list[int]]:
    stream = step_rows(source, 7, cursor, batch_rows, **options)  # type: ignore[arg-type]
    return [rows_of(pieces) for _, _, pieces in islice(stream, count)]


@pytest.mark.parametrize("batch_rows", [1, 3, 7, 10, 23])
def test_every_row_comes_exactly_once_an_epoch(batch_rows: int) -> None:
    flat = [row for rows in steps(10 * 3, Numbers(10), batch_rows=batch_rows) for row in rows]
    for epoch in range(3):
        assert Counter(flat[epoch * 10 : epoch * 10 + 10]) == Counter(range(10))


def test_the_order_is_the_seeds_and_differs_between_epochs() -> None:
    flat = [row for rows in steps(4, Numbers(10), batch_rows=5) for row in rows]
    assert flat[:10] == Order(10, seed=7, epoch=0).rows_at(np.arange(10)).tolist()
    assert flat[:10] != flat[10:]


@pytest.mark.parametrize("taken", range(8))
def test_a_cursor_continues_where_it_stopped(taken: int) -> None:
    assert steps(8, Numbers(10))[taken:] == steps(8 - taken, Numbers(10), cursor=3 * taken)


@pytest.mark.parametrize("world", [2, 3, 4])
def test_ranks_share_each_step_without_loss_or_repetition(world: int) -> None:
    whole = steps(20, Numbers(11), batch_rows=5)
    ranks = [steps(20, Numbers(11), batch_rows=5, lanes=Lanes.of(rank, world)) for rank in range(world)]
    for step, rows in enumerate(whole):
        assert sorted(rows) == sorted(row for rank in ranks for row in rank[step])


def test_a_rank_of_three_shares_takes_three_quarters() -> None:
    lanes = [Lanes.of(rank, 2, shares=(3, 1)) for rank in range(2)]
    assert lanes == [Lanes((0, 1, 2), 4), Lanes((3,), 4)]
    counts = [len(steps(1, Numbers(16), batch_rows=8, lanes=lane)[0]) for lane in lanes]
    assert counts == [6, 2]


def test_micro_batches_differ_by_one_row_at_most() -> None:
    _, _, pieces = next(step_rows(Numbers(100), 0, 0, batch_rows=11, pieces=4))
    assert sorted(piece.num_rows for piece in pieces) == [2, 3, 3, 3]
    _, _, pieces = next(step_rows(Numbers(100), 0, 0, batch_rows=2, pieces=4))
    assert [piece.num_rows for piece in pieces] == [1, 1]


def test_a_stream_that_ends_early_is_an_error() -> None:
    with pytest.raises(NymphError, match="epoch 0 of 'numbers' ended at row 8, expected 10"):
        steps(4, Numbers(10, lost=2))


def test_fewer_rows_than_ranks_is_an_error() -> None:
    with pytest.raises(NymphError, match="has 2 rows, too few for 3 ranks"):
        steps(1, Numbers(2), lanes=Lanes.of(0, 3))


class Rows(Numbers):
    """A source of real training rows."""

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        self.content = table(rows)

    def batches(self, ticket: Ticket) -> Iterator[pa.RecordBatch]:
        for batch in super().batches(ticket):
            yield self.content.take(batch["row"]).combine_chunks().to_batches()[0]


def test_the_reader_gives_collated_micro_batches_and_the_cursor(make_job: JobMaker) -> None:
    reader = StepReader(Rows(10), make_job(batch_rows=4, gradient_accumulation=2), cursor=9)
    rows, waited = reader.next()
    reader.close()
    assert (rows.start, rows.stop, len(rows.micro)) == (9, 13, 2)
    assert rows.micro[0].batch["tokens"].shape == (2, 16)
    assert rows.micro[0].seed != rows.micro[1].seed
    assert waited >= 0


def test_the_reader_passes_on_what_its_thread_met(make_job: JobMaker) -> None:
    class Broken(Rows):
        def batches(self, ticket: Ticket) -> Iterator[pa.RecordBatch]:
            raise NymphError("the server is gone")

    reader = StepReader(Broken(4), make_job(), cursor=0)
    with pytest.raises(NymphError, match="the server is gone"):
        reader.next()
    reader.close()


@pytest.mark.parametrize(
    ("name", "value"), [("tokens", -1), ("tokens", 32), ("tokens", 2**40), ("sentiment", 3), ("speaker", 9)]
)
def test_an_id_without_embedding_is_named_before_the_device_sees_it(name: str, value: int) -> None:
    batch = collate(table(3).combine_chunks().to_batches()[0])
    check_batch(batch, TINY)
    batch[name][2, 5] = value
    with pytest.raises(NymphError, match=f"row 2, position 5: {name} {value}, expected"):
        check_batch(batch, TINY)
