"""Packing loses nothing, wastes little and says what it did."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from nymph.errors import NymphError
from nymph.sequences.document import Document, Segment
from nymph.sequences.packing import Packed, PackingCounts, PackingOptions, pack
from nymph.sequences.schema import Modality, row_schema

T = 64
SCHEMA = row_schema(T, "uint16")


def document(length: int, first: int = 1, whole: bool = False) -> Document:
    tokens = np.arange(first, first + length)
    return Document((Segment(tokens, Modality.TEXT, 1.0),), id=str(first), task="continue", source="text", whole=whole)


def rows_of(packed: Sequence[Packed]) -> pa.Table:
    return pa.Table.from_batches([one.rows for one in packed], SCHEMA)


def texts(packed: Sequence[Packed]) -> list[list[int]]:
    """The tokens of every document of every row."""
    table, found = rows_of(packed), []
    for tokens, numbers in zip(table["tokens"].to_pylist(), table["document"].to_pylist(), strict=True):
        for number in range(1, max(numbers) + 1):
            own = [t for t, d in zip(tokens, numbers, strict=True) if d == number]
            found += [own]
    return found


def test_every_document_is_in_exactly_one_row() -> None:
    lengths = np.random.default_rng(0).integers(2, T + 1, 300).tolist()
    documents = [document(length, first=100 * k + 1) for k, length in enumerate(lengths)]
    packed = list(pack(documents, SCHEMA, T, PackingOptions(window_rows=16)))
    assert sorted(texts(packed)) == sorted(d.segments[0].tokens.tolist() for d in documents)


def test_the_same_documents_give_the_same_rows() -> None:
    documents = [document(3 + 7 * k % 50, first=100 * k + 1) for k in range(100)]
    first, second = (rows_of(list(pack(documents, SCHEMA, T))) for _ in range(2))
    assert first.drop_columns("prosody").equals(second.drop_columns("prosody"))


def test_a_usual_mix_wastes_less_than_two_percent() -> None:
    random = np.random.default_rng(1)
    lengths = np.clip(random.lognormal(5, 1, 4000).astype(int), 2, 2048)
    counts = PackingCounts()
    schema = row_schema(2048, "uint16")
    for _ in pack([document(n) for n in lengths], schema, 2048, None, counts):
        pass
    assert counts.waste(2048) < 0.02


def test_a_long_document_is_split_with_overlap_and_each_target_counts_once() -> None:
    counts = PackingCounts()
    packed = list(pack([document(200)], SCHEMA, T, PackingOptions(overlap=10), counts))
    table = rows_of(packed)
    weights = np.array(table["loss_weight"].to_pylist(), float)
    tokens = np.array(table["tokens"].to_pylist())
    assert sorted(tokens[weights > 0]) == list(range(2, 201))
    assert (counts.split, counts.pieces) == (1, 4)


def test_a_piece_repeats_the_overlap_as_context() -> None:
    first, second = sorted(texts(list(pack([document(100)], SCHEMA, T, PackingOptions(overlap=10)))))
    assert first[-10:] == second[:10]


def test_a_document_that_must_stay_whole_is_quarantined_by_name() -> None:
    counts = PackingCounts()
    packed = list(pack([document(200, whole=True), document(5)], SCHEMA, T, None, counts))
    assert len(texts(packed)) == 1
    assert counts.quarantined == ["continue 1: 200 positions"]


def test_quarantine_may_be_chosen_for_all_long_documents() -> None:
    counts = PackingCounts()
    assert list(pack([document(200)], SCHEMA, T, PackingOptions(long_documents="quarantine"), counts)) == []
    assert len(counts.quarantined) == counts.documents == 1


def test_the_first_position_of_a_document_has_no_loss() -> None:
    table = rows_of(list(pack([document(10), document(10, 50)], SCHEMA, T)))
    assert table["loss_weight"][0].as_py()[:20] == [0, *[1] * 9, 0, *[1] * 9]


def test_absence_is_not_zero() -> None:
    table = rows_of(list(pack([document(10)], SCHEMA, T)))
    assert set(table["sentiment"][0].as_py()) == set(table["speaker"][0].as_py()) == {-1}
    assert np.isnan(table["prosody"][0].as_py()).all()
    assert table["audio"].to_pylist() == [[]]


def test_an_overlap_as_long_as_a_row_is_an_error() -> None:
    with pytest.raises(NymphError, match="less than the context length"):
        list(pack([document(5)], SCHEMA, T, PackingOptions(overlap=T)))


def test_a_hundred_thousand_tokens_are_split_and_none_is_lost() -> None:
    counts = PackingCounts()
    schema = row_schema(2048, "int32")
    packed = list(pack([document(100_000)], schema, 2048, PackingOptions(overlap=32), counts))
    weights = np.concatenate([one.rows["loss_weight"].flatten().to_numpy() for one in packed])
    assert weights.astype(float).sum() == 100_000 - 1
    assert counts.rows == 50
