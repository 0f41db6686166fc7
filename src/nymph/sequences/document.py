"""A document: one example of one task, as parallel arrays, before it is packed into a row.

Built from segments, each of one modality. Absence is explicit (-1, NaN, no patch), never a zero that looks like data.
Legend: n positions, k patches, S speaker vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nymph.sequences.schema import PATCH, PROSODY, SPEAKER, Modality

ABSENT = -1


@dataclass(frozen=True, eq=False)
class Segment:
    """Consecutive positions of one modality; what is None is absent at all of them."""

    tokens: NDArray[Any]
    """Ids [n]."""
    modality: Modality
    weight: float = 0.0
    """Loss weight of these positions as targets."""
    sentiment: int = ABSENT
    """Sentiment class of all positions."""
    speaker: NDArray[np.float16] | None = None
    """Speaker vector [256] of all positions."""
    prosody: NDArray[np.float16] | None = None
    """Standardised prosody [n,4], NaN absent."""
    audio: NDArray[np.float16] | None = None
    """Standardised mel patches [k,640]."""
    audio_at: NDArray[np.int64] | None = None
    """The positions [k] that carry them."""
    seconds: NDArray[np.float32] | None = None
    """Start and end in the recording [n,2], NaN where unknown."""


@dataclass(frozen=True, eq=False)
class Document:
    """Parallel arrays over n positions; `loss_weight[0]` is 0, for nothing stands before it."""

    id: str
    task: str
    source: str
    tokens: NDArray[np.int32]
    modality: NDArray[np.uint8]
    loss_weight: NDArray[np.float16]
    sentiment: NDArray[np.int8]
    speaker: NDArray[np.int16]
    prosody: NDArray[np.float16]
    seconds: NDArray[np.float32]
    speaker_vectors: NDArray[np.float16]
    audio_position: NDArray[np.int64]
    audio: NDArray[np.float16]
    whole: bool = False
    """Must not be split: its targets mean nothing without its conditions."""

    def __len__(self) -> int:
        return len(self.tokens)

    def cut(self, start: int, stop: int, seen: int = 0) -> "Document":
        """Positions `start` to `stop`; the first `seen` of them are context only, their loss was counted before."""
        span = slice(start, stop)
        weight = self.loss_weight[span].copy()
        weight[: max(seen, 1)] = 0
        inside = (self.audio_position >= start) & (self.audio_position < stop)
        return replace(
            self,
            tokens=self.tokens[span],
            modality=self.modality[span],
            loss_weight=weight,
            sentiment=self.sentiment[span],
            speaker=self.speaker[span],
            prosody=self.prosody[span],
            seconds=self.seconds[span],
            audio_position=self.audio_position[inside] - start,
            audio=self.audio[inside],
        )


def join(segments: Sequence[Segment], *, id: str, task: str, source: str, whole: bool = False) -> Document:
    """One document of segments in order. Equal speaker vectors (the same array) are stored once."""
    lengths = np.array([len(segment.tokens) for segment in segments], np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    vectors, speaker_index = _speakers(segments)

    def spread(values: list[float], dtype: Any) -> NDArray[Any]:
        return np.repeat(np.array(values, dtype), lengths)

    weight = spread([segment.weight for segment in segments], np.float16)
    weight[:1] = 0
    patched = [(start, s) for start, s in zip(starts, segments, strict=False) if s.audio is not None]
    return Document(
        id=id,
        task=task,
        source=source,
        whole=whole,
        tokens=np.concatenate([segment.tokens for segment in segments]).astype(np.int32, copy=False),
        modality=spread([segment.modality for segment in segments], np.uint8),
        loss_weight=weight,
        sentiment=spread([segment.sentiment for segment in segments], np.int8),
        speaker=spread(speaker_index, np.int16),
        prosody=_stack([(s.prosody, len(s.tokens)) for s in segments], PROSODY, np.float16),
        seconds=_stack([(s.seconds, len(s.tokens)) for s in segments], 2, np.float32),
        speaker_vectors=np.array(vectors, np.float16).reshape(-1, SPEAKER),
        audio_position=_concatenate([start + s.audio_at for start, s in patched], np.int64),
        audio=_concatenate([s.audio for _, s in patched], np.float16, PATCH),
    )


def _speakers(segments: Sequence[Segment]) -> tuple[list[NDArray[np.float16]], list[float]]:
    index: dict[int, int] = {}
    vectors: list[NDArray[np.float16]] = []
    for segment in segments:
        if segment.speaker is not None and id(segment.speaker) not in index:
            index[id(segment.speaker)] = len(vectors)
            vectors.append(segment.speaker)
    return vectors, [ABSENT if s.speaker is None else index[id(s.speaker)] for s in segments]


def _stack(parts: list[tuple[NDArray[Any] | None, int]], width: int, dtype: Any) -> NDArray[Any]:
    """Rows of width `width`, NaN for the segments that have none."""
    result = np.full((sum(length for _, length in parts), width), np.nan, dtype)
    start = 0
    for values, length in parts:
        if values is not None:
            result[start : start + length] = values
        start += length
    return result


def _concatenate(parts: list[Any], dtype: Any, width: int | None = None) -> NDArray[Any]:
    return np.concatenate(parts).astype(dtype, copy=False) if parts else np.zeros((0, width) if width else 0, dtype)
