"""NIST's segment time marks, with the sample that pyannote.audio ships."""

import importlib.util
from pathlib import Path

import pytest

from nymph.ingestion.failures import IngestionError
from nymph.ingestion.stm import parse_stm


def test_a_real_conversation() -> None:
    spec = importlib.util.find_spec("pyannote.audio")
    assert spec
    sample = Path(str(spec.origin)).parent / "sample" / "sample.stm"
    segments = parse_stm(sample.read_text(), "sample")
    assert {segment.speaker for segment in segments} == {"Diane", "Sheila"}
    assert (segments[0].text, segments[0].start, segments[0].end) == ("Hello?", 6.68, 7.16)


def test_comments_labels_gaps_and_other_recordings_are_left_out() -> None:
    text = ";; made by hand\na 1 X 0 1 <o,f0> yes\nb 1 Y 0 1 no\na 1 inter_segment_gap 1 2\n\na 1 X 2 3\n"
    (segment,) = parse_stm(text, "a")
    assert (segment.text, segment.speaker) == ("yes", "X")


@pytest.mark.parametrize("line", ["a 1 X zero 1 yes", "a 1", "a 1 X 0"])
def test_a_line_that_is_none_is_named(line: str) -> None:
    with pytest.raises(IngestionError, match="line 2: expected 'file channel speaker start end text'"):
        parse_stm(f"a 1 X 0 1 yes\n{line}\n", "a")


def test_a_file_about_others_alone_is_refused() -> None:
    with pytest.raises(IngestionError, match="expected lines for 'c', got a, b"):
        parse_stm("a 1 X 0 1 yes\nb 1 X 0 1 yes\n", "c")
