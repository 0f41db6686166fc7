"""Praat's TextGrid, long and short form, into what was said, when and by whom.

Praat reads both forms by one rule: only free-standing numbers, quoted strings and <flags> count, all else is comment.
Reading by that rule needs no second parser. Tiers named `words` hold words, tiers of sounds are passed over, any other
interval tier holds utterances; `NAME - words`, as the Montreal Forced Aligner writes it, belongs to speaker NAME.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from nymph.ingestion.failures import IngestionError
from nymph.ingestion.given import Given, GivenSegment, GivenWord

_TOKEN = re.compile(
    r'"(?P<text>(?:[^"]|"")*)"|(?<!\S)(?P<number>[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(?!\S)|<(?P<flag>exists|absent)>|!.*'
)
_SILENCE = {"", "sil", "sp", "spn", "silence", "<sil>", "<eps>", "<p:>", "#", "_"}
_WORDS = {"word", "words", "ort-mau", "wrd"}
_SOUNDS = {"phone", "phones", "phoneme", "phonemes", "phn", "mau", "syllable", "syllables", "kan-mau"}
_NAMELESS = {"", "utterance", "utterances", "text", "transcript", "transcription", "sentence", "sentences", "ort"}

Interval = tuple[float, float, str]


@dataclass(frozen=True)
class Tier:
    """A named row of intervals: start and end in seconds, and a mark."""

    name: str
    intervals: tuple[Interval, ...]

    @property
    def label(self) -> str:
        """What the tier holds, by its name: the part after the last ` - `, in small letters."""
        return self.name.rpartition(" - ")[2].strip().lower()

    @property
    def speaker(self) -> str | None:
        """Who speaks in it, where its name says so."""
        who, separator, _ = self.name.rpartition(" - ")
        if separator:
            return who.strip() or None
        return None if self.label in _NAMELESS | _WORDS else self.name.strip()

    def said(self) -> Iterator[Interval]:
        """The intervals in which something is said."""
        return (interval for interval in self.intervals if interval[2].strip().lower() not in _SILENCE)


def parse_textgrid(text: str) -> Given:
    """The utterances of a TextGrid, sorted by time; words are timed where a tier times them.

    Raises:
        IngestionError: no TextGrid, or one that ends early.
    """
    tiers = [tier for tier in read_tiers(text) if tier.label not in _SOUNDS]
    words = {tier.speaker: tier for tier in tiers if tier.label in _WORDS}
    spoken = [tier for tier in tiers if tier.label not in _WORDS]
    segments = [segment for tier in spoken for segment in _utterances(tier, words.get(tier.speaker))]
    told = {tier.speaker for tier in spoken}
    segments += [segment for who, tier in words.items() if who not in told for segment in _all_words(tier)]
    return tuple(sorted(segments, key=lambda segment: (segment.start, segment.end)))


def read_tiers(text: str) -> list[Tier]:
    """The interval tiers of a TextGrid; tiers of points say when, not what, and are left out.

    Raises:
        IngestionError: no TextGrid, or one that ends early.
    """
    tokens = iter([match for match in _TOKEN.finditer(text) if match.lastgroup])
    try:
        if [_text(tokens), _text(tokens)] != ["ooTextFile", "TextGrid"]:
            raise ValueError("its first words are not 'ooTextFile' and 'TextGrid'")
        _number(tokens), _number(tokens), next(tokens)
        tiers = [_tier(tokens) for _ in range(int(_number(tokens)))]
    except (StopIteration, ValueError) as error:
        raise IngestionError("bad_transcript", f"expected a whole TextGrid: {error or 'it ends early'}") from error
    return [tier for tier in tiers if tier is not None]


def _tier(tokens: Iterator[re.Match[str]]) -> Tier | None:
    kind, name = _text(tokens), _text(tokens)
    _number(tokens), _number(tokens)
    count = int(_number(tokens))
    if kind != "IntervalTier":
        for _ in range(count):
            _number(tokens), _text(tokens)
        return None
    return Tier(name, tuple((_number(tokens), _number(tokens), _text(tokens)) for _ in _times(count)))


def _times(count: int) -> range:
    if count < 0:
        raise ValueError(f"a tier of {count} intervals")
    return range(count)


def _text(tokens: Iterator[re.Match[str]]) -> str:
    text = _next(tokens)["text"]
    if text is None:
        raise ValueError("a quoted text is missing")
    return text.replace('""', '"')


def _number(tokens: Iterator[re.Match[str]]) -> float:
    number = _next(tokens)["number"]
    if number is None:
        raise ValueError("a number is missing")
    return float(number)


def _next(tokens: Iterator[re.Match[str]]) -> re.Match[str]:
    match = next(tokens, None)
    if match is None:  # not StopIteration, which a generator around this would turn into a RuntimeError
        raise ValueError("it ends early")
    return match


def _utterances(tier: Tier, words: Tier | None) -> Iterator[GivenSegment]:
    """A segment for each utterance, with those words whose middle lies in it."""
    timed = _words(words) if words else ()
    for start, end, mark in tier.said():
        inside = tuple(word for word in timed if start <= (word.start + word.end) / 2 < end)
        yield GivenSegment(_one_line(mark), start, end, tier.speaker, inside or None)


def _all_words(tier: Tier) -> Iterator[GivenSegment]:
    words = _words(tier)
    if words:
        text = " ".join(word.word for word in words)
        yield GivenSegment(text, words[0].start, words[-1].end, tier.speaker, words)


def _words(tier: Tier) -> tuple[GivenWord, ...]:
    return tuple(GivenWord(_one_line(mark), start, end) for start, end, mark in tier.said())


def _one_line(mark: str) -> str:
    return " ".join(mark.split())
