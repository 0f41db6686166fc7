"""Long texts in windows that fit the classifier, so that nothing is cut off in silence.

A window ends after a sentence where one ends in its second half, else between words. Windows do not overlap: each
token has one vote, weighted by the window's length when scores are averaged. The price is context lost at the seams.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*$")


@dataclass(frozen=True, slots=True)
class Window:
    """A piece of a text and its number of tokens."""

    text: str
    tokens: int


def cut_windows(text: str, offsets: Sequence[tuple[int, int]], limit: int) -> list[Window]:
    """Cut a text into windows of at most `limit` tokens; `offsets` are its tokens' (start, stop) characters."""
    windows = []
    first = 0
    while first < len(offsets):
        stop = min(first + limit, len(offsets))
        if stop < len(offsets):
            stop = _nice_stop(text, offsets, first, stop)
        windows.append(Window(text[offsets[first][0] : offsets[stop - 1][1]], stop - first))
        first = stop
    return windows or [Window(text, 0)]


def _nice_stop(text: str, offsets: Sequence[tuple[int, int]], first: int, stop: int) -> int:
    """The last token boundary after a sentence (in the second half), else between words, else `stop`."""
    between_words = [i for i in range(stop, first, -1) if offsets[i][0] > offsets[i - 1][1]]
    for i in between_words:
        if 2 * i > first + stop and _SENTENCE_END.search(text[offsets[first][0] : offsets[i - 1][1]]):
            return i
    return between_words[0] if between_words else stop
