"""A document: one example of one task, as segments, until packing writes them into a row.

A segment is a run of positions alike in modality and loss weight. Nothing is spread out before it has its place, so a
document costs its tokens and features and no more, and cutting one copies nothing.
Legend: n positions, k patches.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nymph.sequences.schema import Modality

ABSENT = -1


@dataclass(frozen=True, eq=False, slots=True)
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
    """The positions [k] that carry them, ascending."""
    seconds: NDArray[np.float32] | None = None
    """Start and end in the recording [n,2], NaN where unknown."""

    def __len__(self) -> int:
        return len(self.tokens)

    def part(self, start: int, stop: int) -> "Segment":
        """Positions `start` to `stop`, with the features that stand there."""
        if start <= 0 and stop >= len(self):
            return self
        audio, at = self.audio, self.audio_at
        if audio is not None and at is not None:
            first, last = np.searchsorted(at, [start, stop])
            audio, at = audio[first:last], at[first:last] - start
        return replace(
            self,
            tokens=self.tokens[start:stop],
            prosody=None if self.prosody is None else self.prosody[start:stop],
            seconds=None if self.seconds is None else self.seconds[start:stop],
            audio=audio,
            audio_at=at,
        )


@dataclass(frozen=True, eq=False)
class Document:
    """Segments in order. Whatever its weight, its first position is no target: nothing stands before it."""

    segments: tuple[Segment, ...]
    id: str
    """Of the utterance, or of the recording."""
    task: str
    source: str
    """Kind of its utterances."""
    whole: bool = False
    """Must not be split: its targets mean nothing without its conditions."""

    @cached_property
    def length(self) -> int:
        """Positions."""
        return sum(map(len, self.segments))

    @property
    def targets(self) -> int:
        """Positions that count in the loss."""
        counted = sum(len(segment) for segment in self.segments if segment.weight)
        return counted - bool(self.segments[0].weight)

    def cut(self, start: int, stop: int, seen: int = 0) -> "Document":
        """Positions `start` to `stop`; the first `seen` of them are context only, their loss was counted before."""
        context = [replace(segment, weight=0.0) for segment in self._between(start, start + seen)]
        return replace(self, segments=(*context, *self._between(start + seen, stop)))

    def _between(self, start: int, stop: int) -> Iterator[Segment]:
        at = 0
        for segment in self.segments:
            if at < stop and at + len(segment) > start:
                yield segment.part(max(start - at, 0), min(stop - at, len(segment)))
            at += len(segment)
