"""The report adds up, whether the corpus was ingested, ingested again, or only looked at."""

from pathlib import Path

import pytest

from nymph.errors import NymphError
from nymph.reporting.corpus import looked_at_report
from tests.reporting.conftest import ingested


def test_in_is_used_and_quarantined(mixed: Path, tmp_path: Path) -> None:
    report = ingested(mixed, tmp_path / "work")
    assert report["records"] == {"in": 9, "used": 6, "quarantined": 3, "duplicates": 1}
    assert report["quarantine"]["reasons"] == {"bad_conversation": 1, "bad_record": 1, "truncated": 1}
    assert report["chat_problems"] == {"no assistant turn": 1}


def test_a_second_run_reports_the_same(mixed: Path, tmp_path: Path) -> None:
    assert ingested(mixed, tmp_path / "work") == ingested(mixed, tmp_path / "work")


def test_looking_gives_the_same_figures_and_leaves_nothing(mixed: Path, tmp_path: Path) -> None:
    before = sorted(mixed.iterdir())
    looked, made = looked_at_report(mixed), ingested(mixed, tmp_path / "work")
    assert sorted(mixed.iterdir()) == before
    for name in set(made) - {"place", "quarantine"}:
        assert looked[name] == made[name], name
    assert looked["quarantine"]["reasons"] == made["quarantine"]["reasons"]


def test_what_came_with_what(mixed: Path) -> None:
    report = looked_at_report(mixed)
    assert report["kinds"]["speech"]["count"] == 2
    assert report["kinds"]["speech"]["hours"] == pytest.approx(4 / 3600)
    assert report["coverage"]["speech"] == {
        "sound": 2,
        "text": 1,
        "utterance times": 1,
        "word times": 0,
        "speaker": 1,
        "language": 0,
    }
    assert report["speakers"] == {"Ann": 1}
    assert report["figures"]["words_per_minute"]["median"] == 60.0
    assert report["duplicates"][0]["source"] == "one.txt"


def test_one_file_is_looked_at_with_its_transcript_alone(mixed: Path) -> None:
    report = looked_at_report(mixed / "a.wav")
    assert report["records"] == {"in": 1, "used": 1, "quarantined": 0, "duplicates": 0}
    assert report["coverage"]["speech"]["text"] == 1


def test_nothing_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NymphError, match="found nothing at"):
        looked_at_report(tmp_path / "none")
