"""Words into utterances: what one person says in one go.

WhisperX's chunk is up to 30 s of several speakers. A new utterance begins after a sentence's end, after a pause, at a
change of speaker, and at a chunk's end; one that is still too long is cut at its longest pauses. Sentence ends are
Whisper's own punctuation: no tokenizer data to download, at the price of an occasional cut after an abbreviation.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from nymph.transcription.schema import Word

_SENTENCE_END = re.compile(r"[.!?…。！？]['\")\]”’]*$")
_ABBREVIATION = re.compile(r"^(?:[A-HJ-Z]|Mr|Mrs|Ms|Dr|Prof|St|vs|etc|e\.g|i\.e|[A-Za-z](?:\.[A-Za-z])+)\.$")


def split_utterances(words: Sequence[Word], pause_s: float, longest_s: float) -> Iterator[tuple[Word, ...]]:
    """Cut the words of one chunk, in time order, into utterances of at most about `longest_s` seconds."""
    for sentence in _sentences(words, pause_s):
        yield from _shorten(sentence, longest_s)


def ends_sentence(word: str) -> bool:
    """Whether a written word closes a sentence."""
    return bool(_SENTENCE_END.search(word)) and not _ABBREVIATION.match(word)


def _sentences(words: Iterable[Word], pause_s: float) -> Iterator[tuple[Word, ...]]:
    current: list[Word] = []
    for word in words:
        if current and (ends_sentence(current[-1].word) or word.start - current[-1].end >= pause_s):
            yield tuple(current)
            current = []
        current.append(word)
    if current:
        yield tuple(current)


def _shorten(words: tuple[Word, ...], longest_s: float) -> Iterator[tuple[Word, ...]]:
    """Halve at the longest inner pause (the nearest to the middle among equals) until short enough."""
    if len(words) < 2 or words[-1].end - words[0].start <= longest_s:
        yield words
        return
    middle = (words[0].start + words[-1].end) / 2
    cut = max(
        range(1, len(words)),
        key=lambda i: (round(words[i].start - words[i - 1].end, 2), -abs(words[i].start - middle)),
    )
    yield from _shorten(words[:cut], longest_s)
    yield from _shorten(words[cut:], longest_s)
