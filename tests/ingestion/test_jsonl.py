"""One bad line costs that line: good ones keep their order and their numbers."""

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from nymph.ingestion.jsonl import Line, parse_object, read_lines

BAD = {
    b"{": "bad_json",
    b'{"a": NaN}': "bad_json",
    b'{"a": "\\ud800"}': "bad_json",
    b'{"a": 1, "a": 2}': "bad_json",
    b'{"a": "\xff"}': "bad_json",
    b"[1]": "bad_json",
    b'{"a": ' + b"[" * 100_000: "bad_json",
    b'{"a": ' + b"1" * 5000 + b"}": "bad_json",
    "{'a': 1}".encode("utf-16"): "bad_json",
}


def read(path: Path) -> tuple[list[Line], list[tuple[int, str]]]:
    bad: list[tuple[int, str]] = []
    lines = list(read_lines(path, lambda number, reason, _: bad.append((number, reason))))
    return lines, bad


@pytest.mark.parametrize("line", BAD, ids=range(len(BAD)))
def test_a_bad_line_is_reported_and_the_good_ones_are_kept(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"n": 1}\n' + line + b'\n{"n": 3}\n')
    lines, bad = read(tmp_path / "a.jsonl")
    assert [entry.value["n"] for entry in lines] == [1, 3]
    assert bad[0] == (2, BAD[line])


def test_a_byte_order_mark_crlf_and_u2028_are_fine(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"n": 1}\r\n\r\n{"n": "\xe2\x80\xa8"}')
    lines, bad = read(tmp_path / "a.jsonl")
    assert [(line.number, line.value["n"]) for line in lines] == [(1, 1), (3, "\u2028")]
    assert not bad


def test_gzip_and_zstd_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"n": 1}\n'))
    (tmp_path / "b.jsonl.zst").write_bytes(pa.compress(b'{"n": 2}\n', codec="zstd", asbytes=True))
    assert [read(tmp_path / name)[0][0].value["n"] for name in ("a.jsonl.gz", "b.jsonl.zst")] == [1, 2]


def test_a_truncated_gzip_keeps_its_whole_lines(tmp_path: Path) -> None:
    rows = b"".join(b'{"n": "%d"}\n' % (n * 7919**3) for n in range(20_000))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(rows)[:-1000])
    lines, bad = read(tmp_path / "a.jsonl.gz")
    assert len(lines) > 1000
    assert bad[-1][1] == "truncated"


def test_an_overlong_line_is_passed_over_in_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nymph.ingestion.jsonl.MAXIMUM_LINE", 1000)
    (tmp_path / "a.jsonl").write_bytes(b'{"n": "' + b"x" * 5_000_000 + b'"}\n{"n": 2}\n')
    lines, bad = read(tmp_path / "a.jsonl")
    assert [line.number for line in lines] == [2]
    assert bad == [(1, "line_too_long")]


def test_an_error_says_what_came() -> None:
    with pytest.raises(ValueError, match="expected finite numbers, got Infinity"):
        parse_object(b'{"a": Infinity}')
