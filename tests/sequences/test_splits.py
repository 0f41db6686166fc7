"""Splits are stable, complete, and never share a recording unless the corpus is too small to have three."""

import pytest

from nymph.errors import NymphError
from nymph.sequences.splits import SPLITS, SplitOptions, plan_splits, split_of


def corpus(recordings: int, each: int = 4, speakers: int = 10**6) -> list[dict]:
    return [
        {"recording": f"{r:032x}", "index": k, "speaker": f"s{r % speakers}"}
        for r in range(recordings)
        for k in range(each)
    ]


def recordings_of(utterances: list[dict], options: SplitOptions | None = None) -> list[set[str]]:
    plan = plan_splits(utterances, options or SplitOptions())
    return [{u["recording"] for u in plan.select(utterances, split)} for split in SPLITS]


def test_the_fractions_hold_for_many_recordings() -> None:
    counts = [len(found) for found in recordings_of(corpus(2000, 1))]
    assert sum(counts) == 2000
    assert 1540 < counts[0] < 1660
    assert 150 < counts[1] < 250


def test_a_recording_keeps_its_split_when_others_come() -> None:
    before, after = recordings_of(corpus(100)), recordings_of(corpus(300))
    assert all(old <= new for old, new in zip(before, after, strict=True))


def test_no_recording_is_in_two_splits() -> None:
    train, validation, test = recordings_of(corpus(50))
    assert len(train | validation | test) == len(train) + len(validation) + len(test) == 50


@pytest.mark.parametrize("count", range(3, 12))
def test_every_split_has_a_recording_as_soon_as_there_are_three(count: int) -> None:
    assert all(recordings_of(corpus(count)))


def test_one_recording_is_split_by_time() -> None:
    utterances = corpus(1, each=10)
    plan = plan_splits(utterances, SplitOptions())
    blocks = [[u["index"] for u in plan.select(utterances, split)] for split in SPLITS]
    assert blocks == [list(range(8)), [8], [9]]


def test_three_utterances_give_one_to_each_split() -> None:
    utterances = corpus(1, each=3)
    plan = plan_splits(utterances, SplitOptions())
    assert [len(list(plan.select(utterances, split))) for split in SPLITS] == [1, 1, 1]


def test_fewer_utterances_than_splits_all_train() -> None:
    utterances = corpus(1, each=2)
    plan = plan_splits(utterances, SplitOptions())
    assert len(list(plan.select(utterances, "train"))) == 2


def test_a_speaker_is_in_one_split_when_asked() -> None:
    utterances = corpus(400, 1, speakers=40)
    plan = plan_splits(utterances, SplitOptions(by="speaker"))
    speakers = [{u["speaker"] for u in plan.select(utterances, split)} for split in SPLITS]
    assert sum(map(len, speakers)) == 40
    assert all(speakers)


def test_a_split_without_a_share_stays_empty() -> None:
    options = SplitOptions(train=0.9, validation=0.1, test=0.0)
    assert split_of("anything", options) in ("train", "validation")
    assert recordings_of(corpus(5), options)[2] == set()


def test_an_empty_corpus_is_an_error() -> None:
    with pytest.raises(NymphError, match="no utterances"):
        plan_splits([], SplitOptions())


def test_fractions_that_do_not_add_up_are_an_error() -> None:
    with pytest.raises(NymphError, match="sum of 1"):
        SplitOptions(train=0.9)
