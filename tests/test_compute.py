"""Work on items by every engine that is here; a worker that dies costs its items only."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from nymph import engines
from nymph.compute import ComputeOptions, Lost, PerItem, spread
from nymph.errors import NymphError
from nymph.lazy import Lazy, ModelError
from nymph.stages import Failed, Item, Made, Work
from nymph.stores.items import StoredItems, save_items

ITEMS = [Item(f"i{number}", "k", number) for number in range(12)]
HERE = ComputeOptions()
LOKY = ComputeOptions(n_jobs=2)
TWO = pytest.mark.parametrize("options", [HERE, LOKY, ComputeOptions(engine="threading", n_jobs=2)])


def square(number: int) -> int:
    return number * number


def process_of(_: int) -> int:
    return os.getpid()


def table_of(item: Item) -> pa.Table:
    if item.payload == 3:
        raise NymphError("three is not welcome")
    return pa.table({"square": [item.payload**2]})


def die_of_five(once: Path | None, number: int) -> int:
    """Kill this process; where `once` names a file, only the first time."""
    if number == 5 and multiprocessing.parent_process() is not None and not (once and once.exists()):
        if once:
            once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def wait_after_first(go: Path, number: int) -> int:
    while number and not go.exists():
        time.sleep(0.01)
    return number


def broken_model() -> str:
    raise NymphError("no such model")


def counted_model(folder: Path) -> str:
    (folder / f"{len(list(folder.iterdir()))}-{os.getpid()}").touch()
    return "model"


def use(lazy: Lazy[str], number: int) -> str:
    return lazy.get()


@TWO
def test_every_item_comes_once(options: ComputeOptions) -> None:
    assert sorted(spread(square, range(20), options)) == [(number, number**2) for number in range(20)]


def test_one_job_stays_in_this_process_and_two_leave_it() -> None:
    assert {pid for _, pid in spread(process_of, range(4), HERE)} == {os.getpid()}
    assert os.getpid() not in {pid for _, pid in spread(process_of, range(4), LOKY)}


@pytest.mark.parametrize("options", [HERE, LOKY])
def test_tables_are_the_same_and_failures_in_the_order_of_the_items(options: ComputeOptions, tmp_path: Path) -> None:
    work = Work("stage", ITEMS, PerItem(table_of, options))
    save_items(tmp_path, work)
    stored = StoredItems.open(tmp_path)
    assert {name: stored.read(name)["square"].to_pylist() for name in stored} == {
        item.id: [item.payload**2] for item in ITEMS if item.payload != 3
    }
    assert [(f.item.id, f.message) for f in work.tally.failures] == [("i3", "three is not welcome")]
    assert (work.tally.made, work.tally.failed) == (11, 1)


def test_items_are_taken_a_few_ahead_of_what_is_done(tmp_path: Path) -> None:
    taken: list[int] = []

    class Watched(list[int]):
        def __iter__(self) -> Iterator[int]:
            for number in super().__iter__():
                taken.append(number)
                yield number

    stream = spread(partial(wait_after_first, tmp_path / "go"), Watched(range(50)), LOKY)
    next(stream)
    assert len(taken) <= 6
    (tmp_path / "go").touch()
    assert len(list(stream)) == 49


@pytest.mark.faults
def test_a_killed_worker_costs_its_item_only() -> None:
    outcomes = dict(spread(partial(die_of_five, None), range(20), LOKY))
    assert isinstance(outcomes.pop(5), Lost)
    assert outcomes == {number: number for number in range(20) if number != 5}


@pytest.mark.faults
def test_an_item_whose_worker_was_killed_by_chance_is_tried_again(tmp_path: Path) -> None:
    outcomes = dict(spread(partial(die_of_five, tmp_path / "once"), range(20), LOKY))
    assert outcomes == {number: number for number in range(20)}


@pytest.mark.faults
def test_an_item_that_kills_its_worker_is_quarantined() -> None:
    outcomes = list(PerItem(lambda item: die_of_five(None, item.payload), LOKY)(ITEMS))
    (failed,) = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
    assert (failed.item.id, failed.reason) == ("i5", "worker_killed")
    assert sum(isinstance(outcome, Made) for outcome in outcomes) == 11


@pytest.fixture
def cluster() -> Iterator[ComputeOptions]:
    """Two workers that do not outlive the test: they would log into the output of the next ones."""
    yield ComputeOptions(engine="dask", n_jobs=2)
    with engines._dask_client(None, 2) as client, client.cluster:
        engines._dask_client.cache_clear()


@pytest.mark.slow
@pytest.mark.faults
def test_a_killed_dask_worker_costs_its_item_only(cluster: ComputeOptions) -> None:
    outcomes = dict(spread(partial(die_of_five, None), range(12), cluster))
    assert isinstance(outcomes.pop(5), Lost)
    assert outcomes == {number: number for number in range(12) if number != 5}


def test_a_model_is_loaded_once_in_each_process(tmp_path: Path) -> None:
    lazy = Lazy("m", partial(counted_model, tmp_path))
    assert {value for _, value in spread(partial(use, lazy), range(12), LOKY)} == {"model"}
    assert 1 <= len(list(tmp_path.iterdir())) <= 2


@pytest.mark.parametrize("options", [HERE, LOKY])
def test_a_missing_model_is_no_items_fault(options: ComputeOptions) -> None:
    lazy = Lazy("m", broken_model)
    with pytest.raises(ModelError, match="no such model"):
        list(PerItem(lambda item: lazy.get(), options)(ITEMS))


def test_a_model_on_a_gpu_has_the_machine_to_itself() -> None:
    assert LOKY.for_model(single=True).here
    assert LOKY.for_model(single=False) == LOKY


def test_a_scheduler_that_is_not_there_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "CONNECT_SECONDS", 0.5)
    nowhere = ComputeOptions(engine="dask", address="tcp://127.0.0.1:9")
    with pytest.raises(NymphError, match=r"expected a Dask scheduler at tcp://127\.0\.0\.1:9"):
        list(spread(square, range(2), nowhere))
