import pytest

from nymph.transcription.schema import Word
from nymph.transcription.timing import mend_times, spread_words


def test_words_are_spread_by_length() -> None:
    a, bbb = spread_words("a bbb", 4.0)
    assert (a.start, a.end, bbb.end) == pytest.approx((0, 1, 4))
    assert a.timing == "interpolated"


def test_a_word_without_length_borrows_from_the_one_before() -> None:
    said = [Word("oh", 1.0, 2.0, 0.5, "aligned"), Word("hi", 2.0, 2.0, 0.5, "aligned")]
    oh, hi = mend_times(said, 9.0)
    assert (oh.start, oh.end, hi.start, hi.end) == pytest.approx((1, 1.5, 1.5, 2))
    assert {oh.timing, hi.timing} == {"interpolated"}


def test_timed_words_are_left_alone() -> None:
    said = [Word("oh", 1.0, 2.0, 0.5, "aligned"), Word("hi", 2.5, 3.0, 0.5, "aligned")]
    assert mend_times(said, 9.0) == said
