"""Transcripts beside references of every kind."""

from pathlib import Path
from typing import Any

import pytest

from nymph.errors import NymphError
from nymph.transcription.comparison import Score, compare, find_references


def rows(*said: tuple[str, float, float, str]) -> list[dict[str, Any]]:
    return [
        {"text": text, "start": start, "end": end, "speaker": who, "words": [{"start": start, "end": end}]}
        for text, start, end, who in said
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "talk.wav").touch()
    (tmp_path / "talk.stm").write_text("talk 1 anna 0.0 1.0 good morning\ntalk 1 bert 1.0 2.0 good night\n")
    (tmp_path / "note.flac").touch()
    (tmp_path / "note.txt").write_text("red green blue\n")
    (tmp_path / "lost.txt").write_text("no recording beside it\n")
    (tmp_path / "bare.wav").touch()
    return tmp_path


def test_recordings_with_references_are_found(folder: Path) -> None:
    note, talk = find_references(folder)
    assert (note.recording.name, note.text, note.turns) == ("note.flac", "red green blue", None)
    assert (talk.recording.name, talk.text) == ("talk.wav", "good morning good night")
    assert [turn.speaker for turn in talk.speakers] == ["anna", "bert"]


def test_words_times_and_speakers_are_compared_with_what_each_reference_says(folder: Path) -> None:
    heard = {
        "talk.wav": rows(("good morning", 0.0, 1.1, "x"), ("good knight", 1.1, 2.0, "x")),
        "note.flac": rows(("red green blue", 0.0, 1.0, "x")),
    }
    scores = dict(compare(find_references(folder), lambda place: heard[place.name]))
    assert scores["note.flac"] == Score(0.0, None, None)
    assert scores["talk.wav"].word_error_rate == pytest.approx(1 / 4)
    assert scores["talk.wav"].alignment_median_ms == pytest.approx(50)
    assert scores["talk.wav"].diarization_error_rate == pytest.approx(0.5)
    assert scores["all"].word_error_rate == pytest.approx(1 / 7)


def test_a_recording_nobody_was_heard_in_has_all_its_words_wrong(folder: Path) -> None:
    scores = dict(compare(find_references(folder), lambda place: []))
    assert (scores["all"].word_error_rate, scores["all"].diarization_error_rate) == (1.0, 1.0)


def test_a_folder_without_references_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NymphError, match=r"expected recordings with a \.stm"):
        find_references(tmp_path)
