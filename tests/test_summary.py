"""The table at the end of a run says what is true."""

import io

import pytest
from rich.console import Console

from nymph import console
from nymph.stages import Failed, Item, Tally
from nymph.summary import Stage, print_summary


@pytest.fixture(autouse=True)
def _recorder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_console", [Console(record=True, width=160, file=io.StringIO())])


def text_of(stages: dict[str, Stage], reports: dict[str, dict[str, object]]) -> str:
    print_summary(stages, reports, 12.0, None)
    return str(console.console().export_text())


def test_it_counts_in_out_and_quarantined() -> None:
    tally = Tally(items=4, made=1, reused=2)
    tally.fail(Failed(Item("a", "k", source="bad [x].jsonl"), "bad_json", "expected JSON", 7))
    text = text_of({"ingestion": Stage(1.0, 1, {"recordings": tally})}, {})
    row = next(line for line in text.splitlines() if "ingestion" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["ingestion", "4", "3", "1", "2", "1", "1.0"]
    assert "quarantined bad [x].jsonl:7: bad_json: expected JSON" in text


def test_a_recording_that_fails_in_several_stages_is_told_and_counted_once() -> None:
    tallies = [Tally(items=1), Tally(items=1)]
    for tally in tallies:
        tally.fail(Failed(Item("a", "k", source="a.wav"), "truncated", "too short"))
    stages = {
        name: Stage(1.0, 1, {name: tally}) for name, tally in zip(("features", "transcription"), tallies, strict=True)
    }
    text = text_of(stages, {})
    assert text.count("quarantined a.wav") == 1
    assert "1 quarantined." in text


def test_a_stage_of_several_outputs_counts_each_apart_and_its_records_once() -> None:
    outputs = {"recordings": Tally(items=3, made=3), "recording_statistics": Tally(items=2, made=2)}
    records = {"records": {"in": 9, "used": 8, "quarantined": 1}}
    text = text_of({"ingestion": Stage(1.0, 2, outputs)}, {"data_report": records})
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if "│" in line]
    assert rows == [
        ["ingestion", "9", "8", "", "", "1", "1.0"],
        ["recordings", "3", "3", "3", "0", "0", ""],
        ["recording_statistics", "2", "2", "2", "0", "0", ""],
    ]


def test_hostile_names_neither_act_on_the_terminal_nor_turn_it_around() -> None:
    tally = Tally(items=1)
    tally.fail(Failed(Item("a", "k", source="\x1b[2J\u202egpj[red]"), "not_audio", "\x1b]0;owned\x07"))
    text = text_of({"ingestion": Stage(1.0, 1, {"recordings": tally})}, {})
    assert "quarantined \\x1b[2J\\u202egpj[red]: not_audio: \\x1b]0;owned\\x07" in text
    assert not set(text) & {"\x1b", "\x07", "\u202e"}


def test_a_run_that_made_nothing_says_so() -> None:
    text = text_of({"ingestion": Stage(0.1, 1, {"recordings": Tally(items=2, reused=2)})}, {})
    assert "No preparation work was repeated" in text


def test_reports_and_places_to_look_are_named() -> None:
    stages = {"training": Stage(3.0, 1)}
    report = {"in": "8 rows", "out": "20 steps", "summary": ["training loss 6 at the start, 2 at the end"]}
    text = text_of(stages, {"training_report": report})
    assert "8 rows" in text
    assert "training: training loss 6 at the start, 2 at the end" in text
    assert "kedro dashboard" in text
    assert text.rstrip().endswith("Done in 12 s.")
