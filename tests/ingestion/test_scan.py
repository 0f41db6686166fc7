"""Files become rows: transcripts beside recordings, compressed files, chats of every shape, names of any bytes."""

import gzip
import json
import os
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from nymph.ingestion.options import IngestionOptions
from nymph.ingestion.raw import RawFolder
from nymph.text.chat import ChatOptions
from tests.ingestion.conftest import Ingest, tone

STM = "talk 1 Ann 0.1 0.9 hello there\n"
TURNS = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Yes."}]


def lines(path: Path, *records: Any) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def message(id: str, parent: str | None, role: str, text: str, rank: int | None = None) -> dict[str, Any]:
    return {"message_id": id, "parent_id": parent, "role": role, "text": text, "rank": rank, "lang": "en"}


def test_the_transcript_that_knows_most_wins(raw: Path, ingest: Ingest) -> None:
    tone(raw / "talk.wav")
    (raw / "talk.txt").write_text("only words")
    (raw / "talk.stm.gz").write_bytes(gzip.compress(STM.encode()))
    (row,), failures = ingest()
    assert (row["text"], row["speakers"], row["words"]) == ("hello there", ["Ann"], 2)
    assert row["segments"][0]["start"] == 0.1
    assert not failures


def test_a_broken_transcript_costs_itself_and_not_its_recording(raw: Path, ingest: Ingest) -> None:
    tone(raw / "talk.wav")
    (raw / "talk.TextGrid").write_text("no grid")
    (raw / "talk.txt").write_text("only words")
    (row,), (failure,) = ingest()
    assert row["text"] == "only words"
    assert (failure.item.source, failure.reason) == ("talk.TextGrid", "bad_transcript")


@pytest.mark.parametrize("times", ["-1 1", "2 1", "0 30", "nan 1", "0 inf"])
def test_impossible_times_are_refused(raw: Path, ingest: Ingest, times: str) -> None:
    tone(raw / "talk.wav")
    (raw / "talk.stm").write_text(f"talk 1 Ann {times} hello\n")
    (row,), (failure,) = ingest()
    assert "text" not in row
    assert failure.reason == "bad_transcript"


def test_a_transcript_without_its_recording_is_named(raw: Path, ingest: Ingest) -> None:
    (raw / "talk.stm").write_text(STM)
    rows, (failure,) = ingest()
    assert (rows, failure.reason) == ([], "no_recording")


def test_texts_are_read_compressed_and_made_regular_once(raw: Path, ingest: Ingest) -> None:
    (raw / "a.txt.gz").write_bytes(gzip.compress("Cafe\u0301\r\n\x07".encode()))
    (raw / "b.md.zst").write_bytes(pa.compress(b"zstd", codec="zstd", asbytes=True))
    lines(raw / "c.jsonl", {"text": "x\u2028y"}, {"messages": [{**turn, "content": "Cafe\u0301"} for turn in TURNS]})
    rows, failures = ingest()
    texts = {row["source"]: row["text"] for row in rows if row["kind"] == "text"}
    assert texts == {"a.txt.gz": "Café\n", "b.md.zst": "zstd", "c.jsonl": "x\ny"}
    assert rows[1]["messages"][0]["content"] == "Café"
    assert not failures


@pytest.mark.parametrize("name", ["a.txt.gz", "a.txt.zst", "a.jsonl.gz", "a.jsonl.zst"])
def test_a_compressed_file_cut_short_is_quarantined(raw: Path, ingest: Ingest, name: str) -> None:
    data = Random(name).randbytes(2000).hex().encode()
    whole = gzip.compress(data) if name.endswith("gz") else pa.compress(data, codec="zstd", asbytes=True)
    (raw / name).write_bytes(whole[: len(whole) // 2])
    rows, failures = ingest()
    assert not rows
    assert failures[-1].reason == "truncated"


def test_flat_messages_become_the_best_ranked_conversation(raw: Path, ingest: Ingest) -> None:
    lines(
        raw / "flat.jsonl",
        message("1", None, "prompter", "Hi?"),
        message("9", None, "prompter", "Nobody answers."),
        message("2", "1", "assistant", "Worse.", 1),
        message("3", "1", "assistant", "Best.", 0),
        message("4", "gone", "assistant", "An orphan."),
    )
    (row,), failures = ingest()
    assert [turn["content"] for turn in row["messages"]] == ["Hi?", "Best."]
    assert (row["line"], row["language"]) == (1, "en")
    assert [(failure.line, failure.reason) for failure in failures] == [(5, "bad_record"), (2, "bad_conversation")]


def test_a_tree_gives_the_same_conversation_nested_or_not(raw: Path, ingest: Ingest) -> None:
    reply = message("2", "1", "assistant", "Best.")
    nested = message("1", None, "prompter", "Hi?") | {"replies": [reply]}
    lines(raw / "a.jsonl", nested)
    lines(raw / "b.jsonl", {"prompt": nested})
    rows, _ = ingest()
    assert rows[0]["messages"] == rows[1]["messages"]
    assert [row["language"] for row in rows] == ["en", "en"]


def test_what_the_options_leave_out_is_counted(raw: Path, ingest: Ingest) -> None:
    lines(raw / "a.jsonl", {"messages": TURNS}, {"messages": TURNS}, {"text": "t"})
    rows, (failure,) = ingest(IngestionOptions(chat=ChatOptions(maximum_conversations=1)))
    assert [row["kind"] for row in rows] == ["chat", "text"]
    assert (failure.line, failure.reason) == (2, "left_out")


def test_a_line_names_a_recording_beside_it_or_under_the_root(raw: Path, ingest: Ingest) -> None:
    tone(raw / "set" / "a.wav")
    tone(raw / "b.wav", hertz=330)
    lines(raw / "set" / "t.jsonl", {"audio": "a.wav", "text": "one", "speaker": "Ann"}, {"audio": "b.wav"})
    rows, failures = ingest()
    assert [(row["source"], row.get("text"), row.get("speakers")) for row in rows[:2]] == [
        ("set/a.wav", "one", ["Ann"]),
        ("b.wav", None, None),
    ]
    assert not failures


def test_a_recording_added_later_is_found_by_the_line_that_names_it(raw: Path) -> None:
    from nymph.ingestion.scan import declare_recordings

    lines(raw / "t.jsonl", {"audio": "a.wav", "text": "one"})
    lines(raw / "u.jsonl", {"text": "two"})
    before = {item.source: item.key for item in declare_recordings(RawFolder(raw)).items}
    tone(raw / "a.wav")
    after = {item.source: item.key for item in declare_recordings(RawFolder(raw)).items}
    assert before["t.jsonl"] != after["t.jsonl"]
    assert before["u.jsonl"] == after["u.jsonl"]


def test_names_of_any_bytes_lead_back_to_their_files(raw: Path, ingest: Ingest) -> None:
    odd = os.fsencode(raw) + b"/caf\xe9.txt"
    Path(os.fsdecode(odd)).write_text("odd")
    (raw / ("l" * 251 + ".txt")).write_text("long")
    rows, failures = ingest()
    assert not failures
    assert {RawFolder(raw).path_of(row["source"]).read_text() for row in rows} == {"odd", "long"}


def test_links_pipes_and_vanished_files_are_named_not_followed(raw: Path, ingest: Ingest) -> None:
    (raw / "loop").symlink_to(raw)
    (raw / "link.txt").symlink_to("/etc/hostname")
    os.mkfifo(raw / "pipe.wav")
    rows, failures = ingest()
    assert not rows
    assert {(failure.item.source, failure.reason) for failure in failures} == {
        (name, "no_file") for name in ("loop", "link.txt", "pipe.wav")
    }


def test_a_file_that_vanishes_after_it_was_listed_is_quarantined(raw: Path) -> None:
    from nymph.ingestion.scan import declare_recordings

    for name in ("a.txt", "b.wav", "c.jsonl"):
        (raw / name).write_text("here")
    work = declare_recordings(RawFolder(raw))
    for path in list(raw.iterdir()):
        path.unlink()
    outcomes = list(work.outcomes(lambda item: False))
    assert [getattr(outcome, "reason", None) for outcome in outcomes] == ["missing"] * 3


def test_a_path_that_leaves_the_folder_is_refused(raw: Path, ingest: Ingest) -> None:
    lines(raw / "t.jsonl", {"audio": "../../etc/passwd"}, {"audio": "/etc/passwd"})
    rows, failures = ingest()
    assert not rows
    assert ["leaves it" in failure.message for failure in failures] == [True, True]
