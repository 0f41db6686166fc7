"""What a corpus knows of its recordings is what a transcriber is held to."""

import json
from pathlib import Path

import pytest

from nymph.errors import NymphError
from nymph.reporting.references import find_references
from nymph.transcription.comparison import Reference
from nymph.transcription.scoring import Turn
from tests.ingestion.conftest import tone

GRID = """File type = "ooTextFile"
Object class = "TextGrid"

0
2
<exists>
1
"IntervalTier"
"words"
0
2
2
0
1
"good"
1
2
"night"
"""


@pytest.fixture
def found(tmp_path: Path) -> dict[str, Reference]:
    for hertz, name in enumerate(("talk", "note", "grid", "line", "bare", "turns"), 200):
        tone(tmp_path / f"{name}.wav", 2.0, hertz)
    (tmp_path / "talk.stm").write_text("talk 1 anna 0.0 1.0 good morning\ntalk 1 bert 1.0 2.0 <o> good night\n")
    (tmp_path / "note.txt").write_text("red green blue\n")
    (tmp_path / "grid.TextGrid").write_text(GRID)
    (tmp_path / "turns.rttm").write_text("SPEAKER turns 1 0.5 1.0 <NA> <NA> anna <NA> <NA>\n")
    (tmp_path / "lost.txt").write_text("no recording beside it\n")
    lines = [{"audio": "line.wav", "text": "one two"}, {"audio": "bare.wav", "text": None}]
    (tmp_path / "lines.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {reference.recording.stem: reference for reference in find_references(tmp_path)}


def test_every_transcript_that_ingestion_takes_is_a_reference(found: dict[str, Reference]) -> None:
    texts = {name: reference.text for name, reference in found.items()}
    expected = {"talk": "good morning good night", "note": "red green blue", "grid": "good night", "line": "one two"}
    assert texts == expected | {"turns": None}


def test_words_are_timed_where_they_are_known_and_turns_where_not(found: dict[str, Reference]) -> None:
    assert [(turn.start, turn.end) for turn in found["grid"].timed] == [(0.0, 1.0), (1.0, 2.0)]
    assert [(turn.start, turn.end) for turn in found["talk"].timed] == [(0.0, 1.0), (1.0, 2.0)]
    assert not found["note"].timed


def test_speakers_come_from_rttm_and_from_named_turns(found: dict[str, Reference]) -> None:
    assert found["turns"].speakers == [Turn("anna", 0.5, 1.5)]
    assert [turn.speaker for turn in found["talk"].speakers] == ["anna", "bert"]
    assert not found["grid"].speakers


def test_a_folder_that_knows_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NymphError, match=r"expected recordings with a transcript"):
        find_references(tmp_path)
