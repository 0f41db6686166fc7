"""The table of recordings: unchanged files are taken over, failures inside them outlive a kill, units are found."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from nymph.stages import Failed, Item, Made, Outcome, Work
from nymph.stores.quarantine import Quarantine, load_failures, save_quarantine
from nymph.stores.recordings import Recordings, save_recordings


def row(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name * 32, "unit": name * 32, "kind": "text", "source": name, "text": f"text {name}", **more}


def work(*names: str, bad_line: str = "") -> Work:
    """An item for each name; of the one named last a line is bad."""

    def make(missing: Sequence[Item]) -> Iterator[Outcome]:
        for item in missing:
            if item.id == bad_line:
                made.tally.fail(Failed(item, "bad_json", "no", 2))
            yield Made(item, [row(item.id)])

    made = Work("ingestion", [Item(name, f"key-{name}", source=name) for name in names], make)
    return made


def test_unchanged_files_are_taken_over_in_their_order(tmp_path: Path) -> None:
    save_recordings(tmp_path / "r.parquet", work("a", "c"))
    again = work("a", "b", "c")
    save_recordings(tmp_path / "r.parquet", again)
    assert (again.tally.made, again.tally.reused) == (1, 2)
    assert [rows[0]["source"] for rows in Recordings.open(tmp_path / "r.parquet").units().values()] == ["a", "b", "c"]


@pytest.mark.parametrize("names", [("a",), ("a", "b")], ids=["nothing new", "a new file"])
def test_a_bad_line_outlives_a_kill_between_table_and_quarantine(tmp_path: Path, names: tuple[str, ...]) -> None:
    save_recordings(tmp_path / "r.parquet", work("a", bad_line="a"))  # and killed before save_quarantine
    rerun = work(*names)
    save_recordings(tmp_path / "r.parquet", rerun)
    save_quarantine(tmp_path / "q.parquet", Quarantine(rerun))
    assert [(failure.item.source, failure.line) for failure in load_failures(tmp_path / "q.parquet")] == [("a", 2)]


def test_a_bad_line_is_counted_once_however_often_it_is_carried(tmp_path: Path) -> None:
    for _ in range(3):
        run = work("a", bad_line="a")
        save_recordings(tmp_path / "r.parquet", run)
        save_quarantine(tmp_path / "q.parquet", Quarantine(run))
        assert run.tally.failed == 1
        assert len(load_failures(tmp_path / "q.parquet")) == 1


def test_units_are_read_whole_from_any_row_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nymph.stores.recordings._WORDS", 1)  # a row group for each row
    rows = [row("a"), row("b"), row("c") | {"unit": "a" * 32}, row("a", line=9)]
    made = Work("ingestion", [Item("x", "key")], lambda items: [Made(items[0], [{"words": 1, **r} for r in rows])])
    save_recordings(tmp_path / "r.parquet", made)
    recordings = Recordings.open(tmp_path / "r.parquet")
    assert [found["text"] for found in recordings.read_unit("a" * 32)] == ["text a", "text c"]
    assert list(recordings.read_unit("none")) == []


def test_a_content_that_two_units_share_is_read_with_the_first(tmp_path: Path) -> None:
    shared = row("c")
    rows = [row("a"), shared | {"unit": "a" * 32}, row("b"), shared | {"unit": "b" * 32}]
    made = Work("ingestion", [Item("x", "key")], lambda items: [Made(items[0], rows)])
    save_recordings(tmp_path / "r.parquet", made)
    recordings = Recordings.open(tmp_path / "r.parquet")
    for unit, listed in recordings.units().items():
        assert [found["id"] for found in recordings.read_unit(unit)] == [entry["id"] for entry in listed]


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".part-r.parquet-abc").touch()
    (tmp_path / ".part-other.parquet-abc").touch()
    save_recordings(tmp_path / "r.parquet", work("a"))
    assert [path.name for path in tmp_path.glob(".part-*")] == [".part-other.parquet-abc"]
