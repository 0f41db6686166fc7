"""One file an item: made once, skipped when there, quarantined alone, committed by an index."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from nymph.errors import NymphError
from nymph.stages import Failed, Item, Made, Outcome, Work
from nymph.stores.items import StoredItems, item_path, prune, save_items
from nymph.stores.quarantine import Quarantine, load_failures, save_quarantine


def work(*items: Item, bad: str = "", dies: str = "") -> Work:
    def make(missing: Sequence[Item]) -> Iterator[Outcome]:
        for item in missing:
            if item.id == dies:
                raise RuntimeError("killed")
            yield Failed(item, "broken", "no") if item.id == bad else Made(item, pa.table({"x": [item.key]}))

    return Work("stage", items, make)


def test_a_second_run_makes_nothing(tmp_path: Path) -> None:
    save_items(tmp_path, work(Item("a", "1"), Item("b", "1")))
    again = work(Item("a", "1"), Item("b", "1"), dies="a")
    save_items(tmp_path, again)
    assert (again.tally.made, again.tally.reused) == (0, 2)


def test_a_changed_key_remakes_only_that_item(tmp_path: Path) -> None:
    save_items(tmp_path, work(Item("a", "1"), Item("b", "1")))
    changed = work(Item("a", "2"), Item("b", "1"))
    save_items(tmp_path, changed)
    assert (changed.tally.made, changed.tally.reused) == (1, 1)
    assert StoredItems.open(tmp_path).read("a")["x"].to_pylist() == ["2"]


def test_what_was_made_before_a_crash_is_kept(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        save_items(tmp_path, work(Item("a", "1"), Item("b", "1"), dies="b"))
    with pytest.raises(NymphError, match="has not finished"):
        StoredItems.open(tmp_path)
    rerun = work(Item("a", "1"), Item("b", "1"))
    save_items(tmp_path, rerun)
    assert (rerun.tally.made, rerun.tally.reused) == (1, 1)


def test_a_failed_item_is_quarantined_and_tried_again(tmp_path: Path) -> None:
    first = work(Item("a", "1"), Item("b", "1"), bad="b")
    save_items(tmp_path / "items", first)
    save_quarantine(tmp_path / "q.parquet", Quarantine(first))
    assert list(StoredItems.open(tmp_path / "items")) == ["a"]
    assert [failure.reason for failure in load_failures(tmp_path / "q.parquet")] == ["broken"]
    second = work(Item("a", "1"), Item("b", "1"))
    save_items(tmp_path / "items", second)
    save_quarantine(tmp_path / "q.parquet", Quarantine(second))
    assert load_failures(tmp_path / "q.parquet") == []


@pytest.mark.parametrize(("key", "failed"), [("1", 1), ("2", 0)])
def test_lasting_damage_is_tried_again_only_under_another_key(tmp_path: Path, key: str, failed: int) -> None:
    def broken(missing: Sequence[Item]) -> Iterator[Outcome]:
        yield from (Failed(item, "truncated", "no", lasting=True) for item in missing)

    save_items(tmp_path, Work("stage", [Item("b", "1")], broken))
    rerun = work(Item("b", key))
    save_items(tmp_path, rerun)
    assert (rerun.tally.failed, rerun.tally.made) == (failed, 1 - failed)
    assert len(StoredItems.open(tmp_path)) == 1 - failed


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    save_items(tmp_path, work(Item("a", "1")))
    path = item_path(tmp_path, "a", "1")
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    with pytest.raises(NymphError, match="delete it and run again"):
        StoredItems.open(tmp_path).read("a")


def test_prune_deletes_what_today_does_not_name(tmp_path: Path) -> None:
    save_items(tmp_path, work(Item("a", "1")))
    save_items(tmp_path, work(Item("a", "2")))
    assert prune(tmp_path) == 1
    assert [path.name for path in tmp_path.glob("*.parquet")] == ["a.2.parquet"]


def test_an_id_cannot_leave_the_folder(tmp_path: Path) -> None:
    with pytest.raises(NymphError, match="expected an item name"):
        item_path(tmp_path, "../a", "1")
