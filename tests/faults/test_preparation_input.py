"""Broken input of every kind: each file ends in its class, and none takes a good one with it."""

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from nymph.errors import NymphError
from nymph.ingestion.raw import RawFolder
from nymph.ingestion.scan import declare_recordings
from nymph.parquet import read_parquet
from nymph.reporting.corpus import looked_at_report
from tests.faults.broken_files import BROKEN, GOOD, encoded, sound, write
from tests.memory import PEAK
from tests.reporting.conftest import ingested

pytestmark = [pytest.mark.faults, pytest.mark.slow]


def content(place: Path) -> list[dict[str, Any]]:
    """What ingestion made of each good file; keys tell when a file was written and are left out."""
    rows = read_parquet(place / "recordings.parquet").drop_columns(["file_key"]).to_pylist()
    return [row for row in rows if Path(row["source"]).name in GOOD]


def test_thirty_broken_files_cost_none_of_the_good_ones(tmp_path: Path) -> None:
    good = {name: make() for name, make in GOOD.items()}
    write(tmp_path / "clean", good)
    write(tmp_path / "mixed", good | {name: data for name, (data, _) in BROKEN.items()})
    clean, mixed = ingested(tmp_path / "clean", tmp_path / "a"), ingested(tmp_path / "mixed", tmp_path / "b")
    assert len(BROKEN) >= 30
    assert content(tmp_path / "b") == content(tmp_path / "a")
    assert mixed["records"]["used"] == clean["records"]["used"] == len(GOOD) + 1  # lines.jsonl.zst has two
    assert mixed["records"]["quarantined"] == len(BROKEN)
    assert mixed["figures"]["loudness_lufs"] == clean["figures"]["loudness_lufs"]


@pytest.mark.parametrize("name", BROKEN)
def test_each_broken_file_ends_in_its_class(tmp_path: Path, name: str) -> None:
    data, reason = BROKEN[name]
    write(tmp_path / "raw", {name: data})
    report = looked_at_report(tmp_path / "raw")
    (entry,) = report["quarantine"]["entries"]
    assert (report["records"]["in"], report["records"]["used"]) == (1, 0)
    assert entry["source"] == name
    assert entry["reason"] in reason.split("|")
    assert "expected" in entry["message"] or name in entry["message"]


GROWTH = f"""{PEAK}
import sys
from pathlib import Path
from nymph.reporting.corpus import looked_at_report
from nymph.reporting.page import render_page
render_page(looked_at_report(Path(sys.argv[2])))
before = peak()
report = looked_at_report(Path(sys.argv[1]))
print(*(entry["reason"] for entry in report["quarantine"]["entries"]), peak() - before)
"""


@pytest.mark.parametrize(
    ("name", "reason"),
    [("a.jsonl.gz", "line_too_long"), ("a.jsonl.zst", "line_too_long"), ("a.txt.zst", "too_long")],
)
def test_a_bomb_is_refused_in_bounded_memory(tmp_path: Path, name: str, reason: str) -> None:
    bomb = b"a" * (300 * 2**20)
    packed = gzip.compress(bomb, 1) if name.endswith("gz") else pa.compress(bomb, codec="zstd", asbytes=True)
    reasons, mib = growth(tmp_path, {name: packed})
    assert reasons == [reason]
    assert mib < (600 if reason == "too_long" else 250)


def test_a_recording_that_unpacks_to_a_thousand_times_its_size_is_heard_block_by_block(tmp_path: Path) -> None:
    hour = encoded(np.zeros(3600 * 8000), 8000, "FLAC")
    assert len(hour) < 200_000  # 115 MB of samples
    reasons, mib = growth(tmp_path, {"hour.flac": hour})
    assert (reasons, mib < 60) == ([], True)


def growth(place: Path, files: dict[str, bytes]) -> tuple[list[str], float]:
    """Reasons of quarantine, and MiB by which a process that knows small files grows over these."""
    write(place / "bomb", files)
    write(place / "small", {"a.txt": b"a", "b.jsonl": b"{}\n", "c.wav": sound(200)})
    command = [sys.executable, "-c", GROWTH, place / "bomb", place / "small"]
    *reasons, kib = subprocess.check_output(command, text=True).split()
    return reasons, int(kib) / 1024


def test_bad_lines_cost_themselves_and_keep_the_order_of_the_good_ones(tmp_path: Path) -> None:
    bad = [b"{", b'{"a": NaN}', b'{"text": "\\ud800"}', b'{"text": 1}', b'{"a": 1, "a": 2}', b'{"t": "\xff"}', b"[1]"]
    bad += [b'{"text": "  "}', b'{"audio": "gone.wav"}', b'{"messages": []}', b'{"messages": "no"}', b"null"]
    bad += [b'{"a": ' + b"[" * 100_000, b'{"a": ' + b"1" * 5000 + b"}", b'{"prompt": {"role": "alien", "text": "x"}}']
    lines = [line for number, fault in enumerate(bad) for line in (b'{"text": "good %d"}' % number, fault)]
    write(tmp_path / "raw", {"a.jsonl": b"\r\n".join(lines)})
    report = ingested(tmp_path / "raw", tmp_path / "work")
    rows = read_parquet(tmp_path / "work/recordings.parquet", ["text", "line"]).to_pylist()
    assert rows == [{"text": f"good {n}", "line": 2 * n + 1} for n in range(len(bad))]
    assert [entry["line"] for entry in report["quarantine"]["entries"]] == [2 * n + 2 for n in range(len(bad))]


def test_equal_contents_are_used_once_under_the_same_name_whatever_the_order(tmp_path: Path) -> None:
    write(tmp_path / "raw", {f"{name}.txt": b"the same" for name in "cab"})
    report = ingested(tmp_path / "raw", tmp_path / "work")
    assert report["records"] == {"in": 3, "used": 3, "quarantined": 0, "duplicates": 2}
    assert [entry["source"] for entry in report["duplicates"]] == ["b.txt", "c.txt"]


def test_a_file_that_changes_while_it_is_read_is_read_again_by_the_next_run(tmp_path: Path) -> None:
    write(tmp_path / "raw", {"a.txt": b"before"})
    (stale,) = declare_recordings(RawFolder(tmp_path / "raw")).items
    write(tmp_path / "raw", {"a.txt": b"after that"})
    (fresh,) = declare_recordings(RawFolder(tmp_path / "raw")).items
    assert (stale.id, stale.key != fresh.key) == (fresh.id, True)


def test_a_tokenizer_that_is_none_is_refused(tmp_path: Path) -> None:
    from nymph.text.tokenizer import Tokenizer

    for text in ("", "{}", '{"model": {"type": "Exec"}}', "[" * 50_000):
        (tmp_path / "tokenizer.json").write_text(text)
        with pytest.raises(NymphError):
            Tokenizer.load(tmp_path / "tokenizer.json")


def test_a_configuration_runs_no_code(tmp_path: Path) -> None:
    from kedro.config import OmegaConfigLoader

    canary = tmp_path / "canary"
    (tmp_path / "base").mkdir()
    (tmp_path / "base/parameters.yml").write_text(f"x: !!python/object/apply:os.mkdir ['{canary}']\n")
    loader = OmegaConfigLoader(conf_source=str(tmp_path), base_env="base", default_run_env="base")
    with pytest.raises(Exception, match=r"could not determine a constructor|parameters"):
        loader["parameters"]
    assert not canary.exists()
