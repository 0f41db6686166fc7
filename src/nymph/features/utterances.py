"""Prosody and speaker vector of each utterance, in one pass over a recording of any length."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nymph.audio.decode import SAMPLE_RATE, Samples
from nymph.audio.framing import HOP
from nymph.audio.prosody import Prosody, span_prosody, utterance_prosody
from nymph.audio.speaker import normalise

FRAMES_PER_SECOND = SAMPLE_RATE // HOP

SHORTEST_VOICE_S = 0.4
"""Seconds; less speech says too little about a voice."""

Pitch = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]
"""`f0_hz`, `voiced` and `energy_db` of a recording's frames."""

_PROSODY = pa.struct([(name, pa.float32()) for name in Prosody.__dataclass_fields__])

UTTERANCE_FEATURE_SCHEMA = pa.schema(
    [
        ("recording", pa.string()),
        ("index", pa.int32()),
        ("prosody", _PROSODY),
        ("words", pa.list_(_PROSODY)),  # of each word; null where nobody knows when it was said
        ("speaker_vector", pa.list_(pa.float32())),  # 256 numbers; Parquet loses lists of fixed size beside a null
        ("frame_start", pa.int64()),
        ("frame_stop", pa.int64()),
    ],
    metadata={"nymph.schema": "utterance_features/1"},
)


class Encoder(Protocol):
    """What `nymph.audio.speaker.SpeakerEncoder` is used as."""

    def embed_many(self, parts: Iterable[Samples]) -> Iterator[npt.NDArray[np.float32]]:
        """Mono samples at 16 kHz to a vector [256] each."""


def describe_utterances(segments: pa.Table, frames: pa.Table, blocks: Iterable[Samples], encoder: Encoder) -> pa.Table:
    """A row of `UTTERANCE_FEATURE_SCHEMA` for each timed segment of one recording.

    Args:
        segments: `recording`, `index`, `start`, `end` (seconds) and `words`.
        frames: The recording's frames: `f0_hz`, `voiced`, `energy_db`.
        blocks: The recording's sound, mono at 16 kHz.
        encoder: Makes speaker vectors.

    Raises:
        AudioError: the sound cannot be decoded to its end.
    """
    rows = [row for row in segments.to_pylist() if row["start"] is not None and row["end"] is not None]
    rows.sort(key=lambda row: (row["start"], row["index"]))
    pitch = (frames["f0_hz"].to_numpy(), frames["voiced"].to_numpy(), frames["energy_db"].to_numpy())
    spans = [(row["start"], row["end"]) for row in rows]
    voices = _voices(cut_spans(blocks, spans), encoder)
    described = [{**_described(row, pitch), "speaker_vector": voice} for row, voice in zip(rows, voices, strict=True)]
    return pa.Table.from_pylist(described, UTTERANCE_FEATURE_SCHEMA)


def _described(row: dict[str, Any], pitch: Pitch) -> dict[str, Any]:
    start, stop = (min(len(pitch[0]), round(row[edge] * FRAMES_PER_SECOND)) for edge in ("start", "end"))
    f0, voiced, energy = pitch
    prosody = utterance_prosody(f0[start:stop], voiced[start:stop], energy[start:stop])
    return {
        "recording": row["recording"],
        "index": row["index"],
        "prosody": prosody.as_dict() if prosody else None,
        "words": [_word_prosody(word, pitch) for word in row["words"] or []],
        "frame_start": start,
        "frame_stop": stop,
    }


def _word_prosody(word: dict[str, Any], pitch: Pitch) -> dict[str, float | None] | None:
    if word["timing"] == "none":
        return None
    prosody = span_prosody(*pitch, word["start"], word["end"])
    return prosody.as_dict() if prosody else None


def cut_spans(blocks: Iterable[Samples], spans: Sequence[tuple[float, float]]) -> Iterator[Samples]:
    """The samples of each span of seconds, spans sorted by their starts and allowed to overlap.

    Holds what the current span needs and no more. A span that reaches past the end is cut there.
    """
    source = iter(blocks)
    held, offset = np.zeros(0, np.float32), 0
    for start_s, end_s in spans:
        start, stop = round(start_s * SAMPLE_RATE), round(end_s * SAMPLE_RATE)
        while offset + len(held) < stop and (block := next(source, None)) is not None:
            drop = min(max(0, start - offset), len(held))
            held, offset = np.concatenate([held[drop:], block]), offset + drop
        yield held[max(0, start - offset) : max(0, stop - offset)]


def _voices(parts: Iterable[Samples], encoder: Encoder) -> list[npt.NDArray[np.float32] | None]:
    """A vector for each part; None where it says too little about a voice."""
    says: list[bool] = []

    def heard() -> Iterator[Samples]:
        for samples in parts:
            says.append(len(samples) >= SHORTEST_VOICE_S * SAMPLE_RATE and bool(np.any(samples)))
            if says[-1]:
                yield normalise(samples)

    vectors = iter(list(encoder.embed_many(heard())))
    return [next(vectors) if enough else None for enough in says]
