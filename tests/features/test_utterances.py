"""Spans of sound and what they say, in one pass."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from nymph.audio.frames import frame_table
from nymph.features.utterances import UTTERANCE_FEATURE_SCHEMA, cut_spans, describe_utterances
from nymph.parquet import read_parquet, write_parquet

RATE = 16_000


def tone(seconds: float, hertz: float = 150.0) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sign(np.sin(2 * np.pi * hertz * time))).astype(np.float32)


def blocks(samples: np.ndarray, size: int) -> list[np.ndarray]:
    return [samples[start : start + size] for start in range(0, len(samples), size)]


@pytest.mark.parametrize("size", [1, 160, 7_000, 100_000])
def test_spans_are_the_same_however_the_sound_is_cut(size: int) -> None:
    samples = np.arange(20_000, dtype=np.float32)
    spans = [(0.0, 0.5), (0.25, 0.75), (0.3, 0.4), (1.0, 9.0)]
    found = list(cut_spans(blocks(samples, size), spans))
    wanted = [samples[round(start * RATE) : round(end * RATE)] for start, end in spans]
    assert all(np.array_equal(one, other) for one, other in zip(found, wanted, strict=True))


def segments(*spans: tuple[float, float], words: list[dict[str, Any]] | None = None) -> pa.Table:
    rows = [{"recording": "r", "index": i, "start": a, "end": b, "words": words} for i, (a, b) in enumerate(spans)]
    return pa.Table.from_pylist(rows)


class Counter:
    """Stands for the speaker encoder and remembers what it heard."""

    def __init__(self) -> None:
        self.heard: list[int] = []

    def embed_many(self, parts: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for samples in parts:
            self.heard.append(len(samples))
            yield np.full(256, 1 / 16, np.float32)


def test_a_voiced_utterance_has_pitch_a_vector_and_its_frames() -> None:
    samples = tone(2.0)
    said = segments((0.2, 1.2), (1.6, 1.8))
    encoder = Counter()
    table = describe_utterances(said, frame_table([samples]), blocks(samples, 4000), encoder)
    first, second = table.to_pylist()
    assert table.schema.equals(UTTERANCE_FEATURE_SCHEMA)
    assert first["prosody"]["f0_mean_hz"] == pytest.approx(150, rel=0.02)
    assert (first["frame_start"], first["frame_stop"]) == (20, 120)
    assert len(first["speaker_vector"]) == 256
    assert second["speaker_vector"] is None, "a fifth of a second says too little about a voice"
    assert encoder.heard == [RATE]


def test_an_utterance_without_a_voice_can_be_read_back(tmp_path: Path) -> None:
    said = segments((0.2, 1.2), (1.6, 1.8))
    table = describe_utterances(said, frame_table([tone(2.0)]), [tone(2.0)], Counter())
    write_parquet(tmp_path / "u", table.schema, [table])
    assert read_parquet(tmp_path / "u").equals(table)


def test_a_word_has_its_own_prosody_where_its_time_is_known() -> None:
    samples = np.concatenate([tone(1.0, 120.0), tone(1.0, 240.0)])
    words = [
        {"start": 0.1, "end": 0.9, "timing": "aligned"},
        {"start": 1.1, "end": 1.9, "timing": "interpolated"},
        {"start": 0.0, "end": 2.0, "timing": "none"},
    ]
    table = describe_utterances(segments((0.0, 2.0), words=words), frame_table([samples]), [samples], Counter())
    low, high, unknown = table["words"][0].as_py()
    assert (low["f0_mean_hz"], high["f0_mean_hz"]) == (pytest.approx(120, rel=0.02), pytest.approx(240, rel=0.02))
    assert unknown is None


def test_silence_has_no_pitch_and_no_voice() -> None:
    samples = np.zeros(RATE, np.float32)
    said = segments((0.0, 1.0))
    (row,) = describe_utterances(said, frame_table([samples]), [samples], Counter()).to_pylist()
    assert row["prosody"]["f0_mean_hz"] is None
    assert row["speaker_vector"] is None
