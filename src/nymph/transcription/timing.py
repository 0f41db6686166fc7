"""Times for words that an aligner left without any: spread between their neighbours by length, and marked so."""

from collections.abc import Sequence
from dataclasses import replace

from nymph.transcription.schema import Word


def spread_words(text: str, duration: float) -> list[Word]:
    """The words of a text spread over `duration` seconds in proportion to their letters; timing is `interpolated`."""
    parts = text.split()
    blank = [Word(part, 0.0, 0.0, None, "interpolated") for part in parts]
    return _spread(blank, 0.0, duration)


def mend_times(words: Sequence[Word], duration: float) -> list[Word]:
    """The same words in order, where runs that the aligner gave no length share the time up to the next timed word.

    Cross-attention gives several words the same instant when the decoder rushes. Such a run borrows the time of the
    word before it, all marked `interpolated`. `duration` is the chunk's length in seconds.
    """
    mended: list[Word] = []
    index = 0
    while index < len(words):
        stop = index + 1
        while stop < len(words) and words[stop].end - words[stop].start <= 0:
            stop += 1
        run = list(words[index:stop])
        end = min(duration, max(word.end for word in run))
        mended += run if len(run) == 1 and run[0].end > run[0].start else _spread(run, min(run[0].start, end), end)
        index = stop
    return mended


def _spread(words: Sequence[Word], start: float, end: float) -> list[Word]:
    """Divide start..end seconds among words by their number of letters."""
    total = sum(len(word.word) for word in words) or 1
    spread, done = [], 0
    for word in words:
        first = start + (end - start) * done / total
        done += len(word.word)
        spread.append(replace(word, start=first, end=start + (end - start) * done / total, timing="interpolated"))
    return spread
