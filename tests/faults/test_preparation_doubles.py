"""Contents that come twice, clocks that jump, and configuration that swells: nothing is counted twice or redone."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nymph.parquet import read_parquet
from nymph.stores.recordings import Recordings
from tests.faults.broken_files import sound, write
from tests.reporting.conftest import ingested

pytestmark = [pytest.mark.faults]
SHARDS = {f"{name}.jsonl": b'{"text": "one"}\n{"text": "two"}\n' for name in "bca"}


def kept(place: Path) -> list[tuple[str, str, int | None]]:
    """Content, file and line of what later stages work on."""
    units = Recordings.open(place / "recordings.parquet").units()
    return [(row["id"], row["source"], row["line"]) for rows in units.values() for row in rows]


def test_lines_that_several_shards_share_are_used_once_and_told(tmp_path: Path) -> None:
    write(tmp_path / "raw", SHARDS | {"again.wav": sound(200), "sound.wav": sound(200)})
    report = ingested(tmp_path / "raw", tmp_path / "work")
    assert report["records"] == {"in": 8, "used": 8, "quarantined": 0, "duplicates": 5}
    assert [place[1:] for place in kept(tmp_path / "work")] == [("a.jsonl", 1), ("a.jsonl", 2), ("again.wav", None)]


def test_the_order_in_which_files_arrive_decides_nothing(tmp_path: Path) -> None:
    for name, content in SHARDS.items():  # a.jsonl, whose name comes first, arrives last
        write(tmp_path / "raw", {name: content})
        ingested(tmp_path / "raw", tmp_path / "grown")
    ingested(tmp_path / "raw", tmp_path / "whole")
    assert kept(tmp_path / "grown") == kept(tmp_path / "whole")


@pytest.mark.parametrize("year", [1971, 2036])
def test_a_clock_that_jumps_makes_no_content_new(tmp_path: Path, year: int) -> None:
    write(tmp_path / "raw", {"a.wav": sound(200), "b.txt": b"words", "c.jsonl": b'{"text": "one"}\n'})
    ingested(tmp_path / "raw", tmp_path / "work")
    before, statistics = kept(tmp_path / "work"), sorted((tmp_path / "work/statistics").glob("*.parquet"))
    made = [path.stat().st_ino for path in statistics]
    moment = datetime(year, 1, 1, tzinfo=UTC).timestamp()
    for path in (tmp_path / "raw").iterdir():
        os.utime(path, (moment, moment))
    ingested(tmp_path / "raw", tmp_path / "work")
    assert kept(tmp_path / "work") == before
    assert [path.stat().st_ino for path in statistics] == made


def test_an_edit_is_seen_though_the_clock_went_back(tmp_path: Path) -> None:
    write(tmp_path / "raw", {"b.txt": b"words"})
    ingested(tmp_path / "raw", tmp_path / "work")
    write(tmp_path / "raw", {"b.txt": b"other"})
    os.utime(tmp_path / "raw/b.txt", (1e6, 1e6))
    ingested(tmp_path / "raw", tmp_path / "work")
    assert read_parquet(tmp_path / "work/recordings.parquet", ["text"])["text"].to_pylist() == ["other"]


def test_aliases_that_swell_are_refused(tmp_path: Path) -> None:
    from kedro.config import OmegaConfigLoader

    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    write(tmp_path / "base", {"parameters.yml": "\n".join(lines).encode()})
    loader = OmegaConfigLoader(conf_source=str(tmp_path), base_env="base", default_run_env="base")
    with pytest.raises(Exception, match="expansion exceeds"):
        loader["parameters"]
