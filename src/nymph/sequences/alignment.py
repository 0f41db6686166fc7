"""Tokens to time: which word each token belongs to, and its share of that word's span.

Byte-level BPE loses nothing, so the bytes of the tokens say where each stands in the text; no offsets are needed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Word = Mapping[str, Any]


def token_seconds(text: str, words: Sequence[Word], token_bytes: NDArray[Any]) -> NDArray[np.float32]:
    """Start and end of each token [n,2], NaN where its word has no time.

    Args:
        text: what was encoded.
        words: in order, as in `utterances.jsonl`; those not found in the text are skipped.
        token_bytes: bytes of text each token stands for [n].
    """
    owner, spans = token_words(text, words, token_bytes)
    if not len(spans):
        return np.full((len(token_bytes), 2), np.nan, np.float32)
    first = np.searchsorted(owner, np.arange(len(spans)))
    count = np.bincount(owner, minlength=len(spans))
    rank = np.arange(len(owner)) - first[owner]
    start, length = spans[owner, 0], (spans[:, 1] - spans[:, 0])[owner] / count[owner]
    return np.stack([start + length * rank, start + length * (rank + 1)], 1).astype(np.float32)


def token_words(
    text: str, words: Sequence[Word], token_bytes: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The word each token belongs to [n] (by its last byte) and the words' spans in seconds [words,2]."""
    starts, spans = _word_starts(text, words)
    last_byte = np.cumsum(token_bytes, dtype=np.int64) - 1
    owner = np.searchsorted(starts, last_byte, side="right") - 1
    return np.maximum(owner, 0), spans


def _word_starts(text: str, words: Sequence[Word]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """First byte in the text and seconds of each word that is found there, in order."""
    starts: list[int] = []
    spans: list[tuple[float, float]] = []
    cursor = 0
    for word in words:
        spoken = word["word"].strip()
        found = text.find(spoken, cursor) if spoken else -1
        if found < 0:
            continue
        starts.append(found)
        spans.append(_span(word))
        cursor = found + len(spoken)
    characters = np.array(starts, np.int64)
    return _byte_offsets(text)[characters] if not text.isascii() else characters, np.array(spans).reshape(-1, 2)


def _span(word: Word) -> tuple[float, float]:
    start, end = word.get("start"), word.get("end")
    if start is None or end is None or end < start:
        return float("nan"), float("nan")
    return float(start), float(end)


def _byte_offsets(text: str) -> NDArray[np.int64]:
    """The UTF-8 offset of each character, from its code point's size."""
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    sizes = 1 + (points >= 0x80) + (points >= 0x800) + (points >= 0x10000)
    return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
