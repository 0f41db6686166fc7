"""Whole artifacts: remade when their key changes or someone edits them, and only then."""

from pathlib import Path

from nymph.files import atomic_directory, atomic_file
from nymph.stages import whole
from nymph.stores.kept import kept_fingerprint, record_path, save_kept


def keep(path: Path, key: str, text: str = "made") -> tuple[int, int]:
    def write(target: Path, value: str) -> None:
        with atomic_file(target, "w") as file:
            file.write(value)

    work = whole("stage", key, lambda: text)
    save_kept(path, work, write)
    return work.tally.made, work.tally.reused


def test_it_is_made_once_for_a_key(tmp_path: Path) -> None:
    assert keep(tmp_path / "a", "1") == (1, 0)
    assert keep(tmp_path / "a", "1", "other") == (0, 1)
    assert (tmp_path / "a").read_text() == "made"


def test_another_key_remakes_it(tmp_path: Path) -> None:
    keep(tmp_path / "a", "1")
    assert keep(tmp_path / "a", "2", "new") == (1, 0)
    assert (tmp_path / "a").read_text() == "new"


def test_an_edited_artifact_is_remade(tmp_path: Path) -> None:
    keep(tmp_path / "a", "1")
    (tmp_path / "a").write_text("edited")
    assert keep(tmp_path / "a", "1") == (1, 0)


def test_a_damaged_record_is_no_record(tmp_path: Path) -> None:
    keep(tmp_path / "a", "1")
    record_path(tmp_path / "a").write_text("{")
    assert keep(tmp_path / "a", "1") == (1, 0)


def test_a_cache_inside_a_folder_does_not_count(tmp_path: Path) -> None:
    def write(target: Path, value: str) -> None:
        with atomic_directory(target) as part:
            (part / "rows").write_text(value)

    for expected in ((1, 0), (0, 1)):
        work = whole("stage", "1", lambda: "rows")
        save_kept(tmp_path / "table", work, write)
        (tmp_path / "table" / ".arrow").mkdir(exist_ok=True)
        (tmp_path / "table" / ".arrow" / "cache").write_text(str(expected))
        assert (work.tally.made, work.tally.reused) == expected


def test_the_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    keep(tmp_path / "a", "1")
    keep(tmp_path / "b", "2")
    assert kept_fingerprint(tmp_path / "a") == kept_fingerprint(tmp_path / "b")
