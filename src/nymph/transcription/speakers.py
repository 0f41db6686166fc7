"""Who speaks: utterances' speaker vectors, clustered within a block and matched across blocks and recordings.

Utterances shorter than a second have unreliable vectors, so they found no speaker: they join the nearest one that
longer utterances found. Clusters of a block meet those of earlier blocks in a registry of mean vectors, which keeps a
ten-hour recording, and a corpus, in the memory of its speakers. The price: two people who never come close enough to
be told apart by voice are one, and overlapped speech belongs to one person.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nymph.transcription.blocks import Samples
from nymph.transcription.config import SAMPLE_RATE
from nymph.transcription.schema import Utterance

Vectors = NDArray[np.float32]

SHORTEST_S = 1.0
"""Seconds; shorter utterances cannot found a speaker of their own."""

_FILL_S = 1.7  # an encoder window and a bit; shorter speech is repeated, since padding with silence looks like a voice

REGISTRY_SCHEMA = pa.schema(
    [
        pa.field("speaker", pa.string(), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),
        pa.field("vector", pa.list_(pa.float32(), 256), nullable=False),
    ]
)
"""A speaker registry: the mean vector of everyone heard, and for how long."""


class Encoder(Protocol):
    """What gives speaker vectors, such as `nymph.audio.speaker.SpeakerEncoder`."""

    def embed(self, samples: Samples) -> Vectors:
        """Samples [n] at 16 kHz to a vector [256] of length 1."""


class Diarizer(Protocol):
    """What says who speaks in one recording, block after block."""

    def assign(self, block: Samples, utterances: Sequence[Utterance]) -> Sequence[Utterance]:
        """The utterances with their speakers; their times are seconds from the block's start."""


class SpeakerRegistry:
    """Speakers known by mean vector. `identify` finds the nearest within a cosine distance, or adds a new one."""

    def __init__(self, distance: float, prefix: str = "speaker-") -> None:
        self._distance = distance
        self._prefix = prefix
        self._names: list[str] = []
        self._sums: list[Vectors] = []
        self._seconds: list[float] = []

    @classmethod
    def from_table(cls, table: pa.Table, distance: float, prefix: str = "speaker-") -> Self:
        """A registry as `to_table` left it."""
        registry = cls(distance, prefix)
        for row in table.to_pylist():
            registry._names.append(row["speaker"])
            registry._seconds.append(row["seconds"])
            registry._sums.append(np.asarray(row["vector"], np.float32) * np.float32(row["seconds"]))
        return registry

    def to_table(self) -> pa.Table:
        """One row a speaker, of `REGISTRY_SCHEMA`, in the order they were met."""
        columns = {
            "speaker": self._names,
            "seconds": self._seconds,
            "vector": [(total / s).tolist() for total, s in zip(self._sums, self._seconds, strict=True)],
        }
        return pa.table(columns, schema=REGISTRY_SCHEMA)

    def identify(self, vector: Vectors, seconds: float, others: Collection[str] = ()) -> str:
        """The name of the speaker with this mean vector [256], heard for so many seconds more.

        `others` are names that this speaker cannot have, because clustering told them apart.
        """
        seconds = max(seconds, 1e-3)
        if self._sums:
            distances = 1 - unit(np.stack(self._sums)) @ unit(vector)
            distances[[name in others for name in self._names]] = np.inf
            nearest = int(np.argmin(distances))
            if distances[nearest] <= self._distance:
                self._sums[nearest] = self._sums[nearest] + vector * np.float32(seconds)
                self._seconds[nearest] += seconds
                return self._names[nearest]
        self._names.append(f"{self._prefix}{len(self._names) + 1}")
        self._sums.append(vector * np.float32(seconds))
        self._seconds.append(seconds)
        return self._names[-1]


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
        vectors = np.stack([self.encoder.embed(speech) for speech in _speech(block, utterances)])
        labels = cluster_voices(vectors, seconds, self.distance)
        names: dict[int, str] = {}
        for label in dict.fromkeys(labels.tolist()):
            mine = labels == label
            mean = _mean(vectors[mine], seconds[mine])
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
    centres = unit(np.stack([_mean(vectors[labels == label], seconds[labels == label]) for label in present]))
    labels[~long] = present[np.argmax(unit(vectors[~long]) @ centres.T, axis=1)]
    return labels


def unit(vectors: Vectors) -> Vectors:
    """Vectors [..., d] scaled to length 1; zeros stay zeros."""
    scaled: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return scaled


def _mean(vectors: Vectors, seconds: NDArray[np.float64]) -> Vectors:
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
