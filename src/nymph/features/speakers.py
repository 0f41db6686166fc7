"""Labels within recordings become people across them: each recording's voices meet a registry of mean vectors.

Voices that were placed before keep their people, so that adding recordings renames nobody; the new ones follow in
the order of their recordings' ids, so the table does not depend on who was processed when. Memory holds one vector a
person. The price of deciding once and in order: two people who were told apart stay apart when a third recording
would join them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from nymph.stores.speakers import SPEAKER_SCHEMA, Batches, founder_name
from nymph.transcription.speakers import SpeakerRegistry, Vectors, mean_voice

BATCH = 1024
"""Rows that are written together."""


@dataclass(frozen=True)
class Voice:
    """A label of one recording: its mean vector, None where it said too little, over so many seconds of speech."""

    label: str
    seconds: float
    vector: Vectors | None


@dataclass(frozen=True)
class SpeakerUpdate:
    """Brings a table of speakers up to the corpus; the `update` of `nymph.stores.speakers.write_speakers`."""

    keys: Mapping[str, str]
    """Recording -> key of what its voices come from."""
    voices_of: Callable[[str], list[Voice]]
    """The voices of a recording; asked only of those that are new."""
    distance: float
    """Cosine distance between mean vectors above which two voices are two people."""

    def __call__(self, earlier: Batches) -> Iterator[pa.RecordBatch]:
        """The rows of `earlier` that are still true, then those of recordings it does not know."""
        registry, placed = SpeakerRegistry(self.distance), set[str]()
        for batch in earlier:
            kept = self._still_true(batch)
            placed.update(kept["recording"].to_pylist())
            _remember(kept, registry)
            yield kept
        new = (row for recording in sorted(set(self.keys) - placed) for row in self._place(recording, registry))
        yield from _batches(new)

    def _still_true(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        pairs = zip(batch["recording"].to_pylist(), batch["key"].to_pylist(), strict=True)
        return batch.filter(pa.array([self.keys.get(recording) == key for recording, key in pairs], pa.bool_()))

    def _place(self, recording: str, registry: SpeakerRegistry) -> Iterator[dict[str, object]]:
        """Who heard most is placed first; no two voices of one recording are one person."""
        others: list[str] = []
        for voice in sorted(self.voices_of(recording), key=lambda voice: (-voice.seconds, voice.label)):
            speaker = _person(recording, voice, others, registry)
            others.append(speaker)
            vector = None if voice.vector is None else voice.vector.tolist()
            yield {
                "recording": recording,
                "key": self.keys[recording],
                "label": voice.label,
                "speaker": speaker,
                "seconds": voice.seconds,
                "vector": vector,
            }


def _remember(batch: pa.RecordBatch, registry: SpeakerRegistry) -> None:
    for row in batch.to_pylist():
        vector = None if row["vector"] is None else np.asarray(row["vector"], np.float32)
        registry.add(row["speaker"], vector, row["seconds"])


def _person(recording: str, voice: Voice, others: list[str], registry: SpeakerRegistry) -> str:
    name = founder_name(recording, voice.label)
    while name in registry:  # the recording founded somebody before it was transcribed anew
        name = founder_name(name, voice.label)
    if voice.vector is None:
        registry.add(name, None, 0.0)
        return name
    return registry.identify(voice.vector, voice.seconds, others, name)


def voices(transcript: pa.Table, features: pa.Table) -> list[Voice]:
    """The voices of one recording.

    Args:
        transcript: `index`, `start`, `end` (seconds) and `speaker`, the label.
        features: `index` and `speaker_vector` [256], null where an utterance says too little about a voice.
    """
    heard = features["speaker_vector"].combine_chunks()
    known = heard.is_valid().to_numpy(zero_copy_only=False)
    indices = features["index"].to_numpy()[known]
    vectors = heard.flatten().to_numpy().reshape(-1, 256)
    rows = transcript.sort_by("index").to_pylist()
    labels = {row["index"]: row["speaker"] for row in rows}
    seconds = {row["index"]: row["end"] - row["start"] for row in rows}
    spoken = np.array([labels.get(index) for index in indices.tolist()], object)
    lengths = np.array([seconds.get(index, 0.0) for index in indices.tolist()])
    return [_voice(label, spoken == label, vectors, lengths) for label in sorted(set(labels.values()) - {None})]


def _voice(label: str, mine: np.ndarray, vectors: Vectors, seconds: np.ndarray) -> Voice:
    if not mine.any():
        return Voice(label, 0.0, None)
    return Voice(label, float(seconds[mine].sum()), mean_voice(vectors[mine], seconds[mine]))


def _batches(rows: Iterable[dict[str, object]]) -> Iterator[pa.RecordBatch]:
    pending: list[dict[str, object]] = []
    for row in rows:
        pending.append(row)
        if len(pending) == BATCH:
            yield pa.RecordBatch.from_pylist(pending, SPEAKER_SCHEMA)
            pending = []
    if pending:
        yield pa.RecordBatch.from_pylist(pending, SPEAKER_SCHEMA)
