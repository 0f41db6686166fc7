"""The rows a transcription gives: one utterance each, with its words. Times are seconds from the recording's start."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Literal, Self

import pyarrow as pa

Timing = Literal["aligned", "interpolated", "none"]
"""How a word got its times: from an aligner, spread between aligned neighbours, or not at all."""

WORD = pa.struct(
    [
        ("word", pa.string()),
        ("start", pa.float64()),
        ("end", pa.float64()),
        ("confidence", pa.float32()),
        ("timing", pa.string()),
    ]
)

TRANSCRIPT_SCHEMA = pa.schema(
    [
        pa.field("index", pa.int32(), nullable=False),
        pa.field("start", pa.float64(), nullable=False),
        pa.field("end", pa.float64(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("speaker", pa.string()),
        pa.field("words", pa.list_(WORD), nullable=False),
        pa.field("confidence", pa.float32()),
    ]
)
"""One row an utterance, in time order; `confidence` is the mean of its words', `speaker` null where nobody asked."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word as written, with its punctuation; seconds; confidence in 0..1 or None."""

    word: str
    start: float
    end: float
    confidence: float | None
    timing: Timing

    def shifted(self, seconds: float) -> Self:
        """The same word `seconds` later."""
        return replace(self, start=self.start + seconds, end=self.end + seconds)


@dataclass(frozen=True, slots=True)
class Utterance:
    """Words that one person says in one go."""

    words: tuple[Word, ...]
    language: str
    speaker: str | None = None

    @property
    def start(self) -> float:
        """Seconds."""
        return self.words[0].start

    @property
    def end(self) -> float:
        """Seconds."""
        return max(word.end for word in self.words)

    def shifted(self, seconds: float) -> Self:
        """The same utterance `seconds` later."""
        return replace(self, words=tuple(word.shifted(seconds) for word in self.words))

    @property
    def text(self) -> str:
        """The words joined by spaces."""
        return " ".join(word.word for word in self.words)

    @property
    def confidence(self) -> float | None:
        """Mean confidence of the words that have one."""
        known = [word.confidence for word in self.words if word.confidence is not None]
        return sum(known) / len(known) if known else None


def transcript_table(utterances: Iterable[Utterance]) -> pa.Table:
    """Utterances as rows of `TRANSCRIPT_SCHEMA`, numbered from 0."""
    rows = [
        {
            "index": index,
            "start": utterance.start,
            "end": utterance.end,
            "text": utterance.text,
            "language": utterance.language,
            "speaker": utterance.speaker,
            "words": [asdict(word) for word in utterance.words],
            "confidence": utterance.confidence,
        }
        for index, utterance in enumerate(utterances)
    ]
    return pa.Table.from_pylist(rows, schema=TRANSCRIPT_SCHEMA)
