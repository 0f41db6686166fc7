"""Praat's files: both forms, names of speakers, words inside utterances, damage."""

import pytest

from nymph.ingestion.failures import IngestionError
from nymph.ingestion.textgrid import parse_textgrid

LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 3
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "IntervalTier"
        name = "Diane"
        xmin = 0
        xmax = 3
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.5
            text = ""
        intervals [2]:
            xmin = 0.5
            xmax = 1.5
            text = "Say ""hi"" 2 me"
        intervals [3]:
            xmin = 1.5
            xmax = 3
            text = "sil"
    item [2]:
        class = "TextTier"
        name = "clicks"
        xmin = 0
        xmax = 3
        points: size = 1
        points [1]:
            number = 1
            mark = "click"
    item [3]:
        class = "IntervalTier"
        name = "Diane - words"
        xmin = 0
        xmax = 3
        intervals: size = 2
        intervals [1]:
            xmin = 0.5
            xmax = 0.9
            text = "Say"
        intervals [2]:
            xmin = 0.9
            xmax = 1.5
            text = "hi"
"""

SHORT = """File type = "ooTextFile"
Object class = "TextGrid"

0
2.5
<exists>
2
"IntervalTier"
"words"
0
2.5
2
0
1.0
"hello"
1.25
2.5
"there"
"IntervalTier"
"phones"
0
2.5
1
0
2.5
"HH"
"""


def test_the_long_form_gives_utterances_of_a_named_speaker_with_their_words() -> None:
    (segment,) = parse_textgrid(LONG)
    assert (segment.text, segment.start, segment.end, segment.speaker) == ('Say "hi" 2 me', 0.5, 1.5, "Diane")
    assert [(word.word, word.start) for word in segment.words or ()] == [("Say", 0.5), ("hi", 0.9)]


def test_the_short_form_with_words_alone() -> None:
    (segment,) = parse_textgrid(SHORT)
    assert (segment.text, segment.speaker) == ("hello there", None)
    assert [(word.start, word.end) for word in segment.words or ()] == [(0.0, 1.0), (1.25, 2.5)]


@pytest.mark.parametrize("text", [LONG[:500], SHORT[:-40], "", "hello", SHORT.replace('"TextGrid"', '"Sound"')])
def test_damage_is_said_so(text: str) -> None:
    with pytest.raises(IngestionError, match="expected a whole TextGrid"):
        parse_textgrid(text)
