from concurrent.futures import ThreadPoolExecutor

import pytest
from torch.distributed import HashStore

from nymph.errors import NymphError
from nymph.training.meeting import agree_on_name


def names(store: HashStore, ranks: int) -> set[str]:
    """What each of the ranks that start now is told."""
    with ThreadPoolExecutor(ranks) as pool:
        return set(pool.map(lambda rank: agree_on_name(store, rank, ranks, 60), range(ranks)))


def test_ranks_agree_on_a_name_that_no_earlier_start_had() -> None:
    store = HashStore()
    starts = [names(store, ranks) for ranks in (3, 3, 2)]
    assert [len(start) for start in starts] == [1, 1, 1]
    assert len(set.union(*starts)) == 3


def test_what_a_killed_start_has_left_is_not_taken_for_an_answer() -> None:
    store = HashStore()
    for rank in (1, 2):
        store.set(f"question/{rank}", "old")
        store.set(f"answer/{rank}", '["old", "old name"]')
        store.set(f"thanks/{rank}", "old name")
    (name,) = names(store, 3)
    assert name != "old name"


def test_a_rank_that_does_not_come_is_named() -> None:
    with pytest.raises(NymphError, match=r"rank 0 waits for ranks \[1\]"):
        agree_on_name(HashStore(), 0, 2, timeout_seconds=0)
