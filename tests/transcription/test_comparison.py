"""Transcripts beside what is known of their recordings."""

from pathlib import Path
from typing import Any

import pytest

from nymph.errors import NymphError
from nymph.transcription.comparison import Reference, Score, compare
from nymph.transcription.scoring import Turn


def rows(*said: tuple[str, float, float, str]) -> list[dict[str, Any]]:
    return [
        {"text": text, "start": start, "end": end, "speaker": who, "words": [{"start": start, "end": end}]}
        for text, start, end, who in said
    ]


REFERENCES = [
    Reference(Path("note.flac"), "red green blue"),
    Reference(
        Path("talk.wav"),
        "good morning good night",
        timed=[Turn("anna", 0.0, 1.0), Turn("bert", 1.0, 2.0)],
        speakers=[Turn("anna", 0.0, 1.0), Turn("bert", 1.0, 2.0)],
    ),
]


def test_words_times_and_speakers_are_compared_with_what_each_reference_says() -> None:
    heard = {
        "talk.wav": rows(("good morning", 0.0, 1.1, "x"), ("good knight", 1.1, 2.0, "x")),
        "note.flac": rows(("red green blue", 0.0, 1.0, "x")),
    }
    scores: dict[str, Any] = dict(compare(REFERENCES, lambda place: heard[place.name]))
    assert scores["note.flac"] == Score(0.0, None, None)
    assert scores["talk.wav"].word_error_rate == pytest.approx(1 / 4)
    assert scores["talk.wav"].alignment_median_ms == pytest.approx(50)
    assert scores["talk.wav"].diarization_error_rate == pytest.approx(0.5)
    assert scores["all"].word_error_rate == pytest.approx(1 / 7)


def test_a_recording_nobody_was_heard_in_has_all_its_words_wrong() -> None:
    scores: dict[str, Any] = dict(compare(REFERENCES, lambda place: []))
    assert (scores["all"].word_error_rate, scores["all"].diarization_error_rate) == (1.0, 1.0)


def test_a_broken_recording_costs_itself_alone() -> None:
    def transcribe(place: Path) -> list[dict[str, Any]]:
        if place.name == "talk.wav":
            raise NymphError("talk.wav: it ends too early")
        return rows(("red green blue", 0.0, 1.0, "x"))

    scores = dict(compare(REFERENCES, transcribe))
    assert "ends too early" in str(scores["talk.wav"])
    assert scores["all"] == Score(0.0, None, None)
