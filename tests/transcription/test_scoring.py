import pytest

from nymph.errors import NymphError
from nymph.transcription.models import packaged_file
from nymph.transcription.scoring import (
    Turn,
    boundary_errors,
    diarization_error_rate,
    read_rttm,
    word_error_rate,
)

SAMPLE = packaged_file("pyannote", "audio", "sample", "sample.wav")


def test_case_and_punctuation_are_no_errors() -> None:
    assert word_error_rate(["I'm Sheila, in Texas!"], ["i'm sheila in texas"]) == 0


def test_one_wrong_word_in_four() -> None:
    assert word_error_rate(["a man in taxes"], ["a man in texas"]) == pytest.approx(0.25)


def test_turns_are_read() -> None:
    assert read_rttm(SAMPLE.with_suffix(".rttm"))[0] == Turn("speaker90", 6.69, pytest.approx(7.12))


def test_a_broken_line_is_named(tmp_path) -> None:
    path = tmp_path / "x.rttm"
    path.write_text("SPEAKER x 1 six 7.16 <NA> <NA> Diane <NA> <NA>\n")
    with pytest.raises(NymphError, match=r"x\.rttm:1: expected a speaker and two times"):
        read_rttm(path)


@pytest.mark.filterwarnings("ignore:'uem'")
def test_speaker_names_do_not_matter_but_confusion_does() -> None:
    reference = [Turn("a", 0, 2), Turn("b", 2, 4)]
    assert diarization_error_rate([Turn("x", 0, 2), Turn("y", 2, 4)], reference) == 0
    assert diarization_error_rate([Turn("x", 0, 4)], reference) == pytest.approx(0.5)


def test_each_reference_boundary_meets_its_nearest() -> None:
    assert boundary_errors([1.0, 2.1], [0.9, 2.0]).tolist() == pytest.approx([0.1, 0.1])
