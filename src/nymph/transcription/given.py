"""Transcripts that came with a recording, as utterances with timed words.

Words that the transcript times are `aligned`; of others, only the stretch they were said in is known, so they share it
by their length and are `interpolated`. A stretch longer than an utterance may be is cut as transcribed speech is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from nymph.transcription.config import TranscriptionConfig
from nymph.transcription.schema import Word
from nymph.transcription.timing import spread_words
from nymph.transcription.utterances import split_utterances

_USUAL = TranscriptionConfig()


def given_utterances(segments: Sequence[dict[str, Any]], duration_s: float | None) -> Iterator[dict[str, Any]]:
    """`start`, `end`, `text`, `speaker` and `words` of each utterance; seconds.

    Args:
        segments: Rows of `nymph.stores.recordings.SEGMENTS`; one without times spans the recording.
        duration_s: The recording's length; words of untimed segments get no times where it is not known.
    """
    for segment in segments:
        start, end = _span(segment, duration_s)
        words = _words(segment, start, end)
        if end - start <= _USUAL.utterance_s or len(words) < 2:
            yield _utterance(segment["text"], start, end, segment["speaker"], words)
            continue
        for part in split_utterances(words, _USUAL.pause_s, _USUAL.utterance_s):
            text = " ".join(word.word for word in part)
            yield _utterance(text, part[0].start, part[-1].end, segment["speaker"], part)


def _span(segment: dict[str, Any], duration_s: float | None) -> tuple[float, float]:
    last = duration_s or 0.0
    if segment["start"] is None or segment["end"] is None:
        return 0.0, last
    # A transcript may run a little past its recording; nothing was said there.
    return segment["start"], min(segment["end"], last) if last > segment["start"] else segment["end"]


def _words(segment: dict[str, Any], start: float, end: float) -> list[Word]:
    if segment["words"]:
        return [Word(word["word"], word["start"], word["end"], None, "aligned") for word in segment["words"]]
    words = [word.shifted(start) for word in spread_words(segment["text"], end - start)]
    return words if end > start else [Word(word.word, 0.0, 0.0, None, "none") for word in words]


def _utterance(text: str, start: float, end: float, speaker: str | None, words: Sequence[Word]) -> dict[str, Any]:
    return {"start": start, "end": end, "text": text, "speaker": speaker, "words": [asdict(word) for word in words]}
