"""Who speaks: utterances' speaker vectors, clustered within a block and matched across blocks and recordings.

Utterances shorter than a second have unreliable vectors, so they found no speaker: they join the nearest one that
longer utterances found. Clusters of a block meet those of earlier blocks in a registry of mean vectors, which keeps a
ten-hour recording, and a corpus, in the memory of its speakers. The price: two people who never come close enough to
be told apart by voice are one, and overlapped speech belongs to one person.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nymph.transcription.blocks import Samples
from nymph.transcription.config import SAMPLE_RATE
from nymph.transcription.schema import Utterance

Vectors = NDArray[np.float32]

SHORTEST_S = 1.0
"""Seconds; shorter utterances cannot found a speaker of their own."""

_FILL_S = 1.7  # an encoder window and a bit; shorter speech is repeated, since padding with silence looks like a voice


class Encoder(Protocol):
    """What gives speaker vectors, such as `nymph.audio.speaker.SpeakerEncoder`."""

    def embed_many(self, parts: Iterable[Samples]) -> Iterator[Vectors]:
        """Samples [n] at 16 kHz to a vector [256] of length 1 each."""


class Diarizer(Protocol):
    """What says who speaks in one recording, block after block."""

    def assign(self, block: Samples, utterances: Sequence[Utterance]) -> Sequence[Utterance]:
        """The utterances with their speakers; their times are seconds from the block's start."""


class SpeakerRegistry:
    """Speakers known by mean vector. `identify` finds the nearest within a cosine distance, or adds a new one."""

    def __init__(self, distance: float) -> None:
        self._distance = distance
        self._taken: set[str] = set()
        self._rows: dict[str, int] = {}
        self._names: list[str] = []
        self._sums: Vectors = np.zeros((4, 256), np.float32)
        self._units: Vectors = np.zeros((4, 256), np.float32)

    def __contains__(self, name: str) -> bool:
        return name in self._taken

    def add(self, name: str, vector: Vectors | None, seconds: float) -> None:
        """Remember whom this mean vector [256] over so many seconds belongs to; without one, only the name is taken."""
        self._taken.add(name)
        if vector is None:
            return
        if name not in self._rows:
            self._new_row(name)
        row = self._rows[name]
        self._sums[row] += vector * np.float32(max(seconds, 1e-3))
        self._units[row] = unit(self._sums[row])

    def identify(self, vector: Vectors, seconds: float, others: Collection[str] = (), name: str | None = None) -> str:
        """The name of the speaker with this mean vector [256], heard for so many seconds more.

        `others` are names that this speaker cannot have, because clustering told them apart. Somebody new is called
        `name`, or by number.
        """
        found = self._nearest(vector, others) or name or f"speaker-{len(self._names) + 1}"
        self.add(found, vector, seconds)
        return found

    def _nearest(self, vector: Vectors, others: Collection[str]) -> str | None:
        """Who is within the distance, and nearest."""
        distances = 1 - self._units[: len(self._names)] @ unit(vector)
        distances[[self._rows[other] for other in others if other in self._rows]] = np.inf
        if not distances.size or distances.min() > self._distance:
            return None
        return self._names[int(np.argmin(distances))]

    def _new_row(self, name: str) -> None:
        if len(self._names) == len(self._sums):
            self._sums, self._units = (
                np.concatenate([part, np.zeros_like(part)]) for part in (self._sums, self._units)
            )
        self._rows[name] = len(self._names)
        self._names.append(name)


@dataclass
class VoiceDiarizer:
    """Clusters the speaker vectors of utterances; one for each recording."""

    encoder: Encoder
    registry: SpeakerRegistry
    distance: float
    """Cosine distance between clusters above which they are different people."""

    def assign(self, block: Samples, utterances: Sequence[Utterance]) -> Sequence[Utterance]:
        """The same utterances, each with its speaker's name in this recording."""
        if not utterances:
            return utterances
        seconds = np.array([said.end - said.start for said in utterances])
        vectors = np.stack(list(self.encoder.embed_many(_speech(block, utterances))))
        labels = cluster_voices(vectors, seconds, self.distance)
        names: dict[int, str] = {}
        for label in dict.fromkeys(labels.tolist()):
            mine = labels == label
            mean = mean_voice(vectors[mine], seconds[mine])
            names[label] = self.registry.identify(mean, float(seconds[mine].sum()), names.values())
        return [replace(said, speaker=names[label]) for said, label in zip(utterances, labels.tolist(), strict=True)]


def cluster_voices(vectors: Vectors, seconds: NDArray[np.float64], distance: float) -> NDArray[np.int64]:
    """Speaker of each utterance [n] from vectors [n, 256]: average linkage over the long ones, nearest for the rest."""
    from scipy.cluster.hierarchy import fcluster, linkage

    long = seconds >= SHORTEST_S
    if not long.any():
        long[:] = True
    labels = np.zeros(len(vectors), np.int64)
    known = unit(vectors[long])
    found = fcluster(linkage(known, "average", metric="cosine"), distance, "distance") if len(known) > 1 else [1]
    labels[long] = found
    present = np.unique(labels[long])
    centres = unit(np.stack([mean_voice(vectors[labels == label], seconds[labels == label]) for label in present]))
    labels[~long] = present[np.argmax(unit(vectors[~long]) @ centres.T, axis=1)]
    return labels


def unit(vectors: Vectors) -> Vectors:
    """Vectors [..., d] scaled to length 1; zeros stay zeros."""
    scaled: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return scaled


def mean_voice(vectors: Vectors, seconds: NDArray[np.float64]) -> Vectors:
    """Mean [256] of vectors [n, 256], each as often as it has seconds."""
    weights = np.maximum(seconds, 1e-3).astype(np.float32)
    mean: Vectors = weights @ vectors / weights.sum()
    return mean


def _speech(block: Samples, utterances: Sequence[Utterance]) -> Iterator[Samples]:
    """Each utterance's samples, repeated up to the length that the encoder listens to."""
    least = round(_FILL_S * SAMPLE_RATE)
    for said in utterances:
        samples = block[round(said.start * SAMPLE_RATE) : round(said.end * SAMPLE_RATE)]
        if samples.size == 0:
            samples = np.zeros(1, np.float32)
        yield samples if samples.size >= least else np.tile(samples, -(-least // samples.size))[:least]
