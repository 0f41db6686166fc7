import numpy as np
import pytest

from nymph.transcription.blocks import cut_blocks
from nymph.transcription.config import SAMPLE_RATE


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * SAMPLE_RATE)).astype(np.float32)


def test_blocks_join_to_the_recording() -> None:
    samples = noise(25)
    pieces = np.array_split(samples, 7)
    blocks = list(cut_blocks(pieces, 10))
    assert np.array_equal(np.concatenate([block for _, block in blocks]), samples)
    assert all(block.size <= 10 * SAMPLE_RATE for _, block in blocks)


def test_a_block_starts_where_the_one_before_ended() -> None:
    blocks = list(cut_blocks([noise(25)], 10))
    ends = np.cumsum([block.size for _, block in blocks]) / SAMPLE_RATE
    assert [start for start, _ in blocks] == pytest.approx([0, *ends[:-1]])


def test_the_cut_is_where_it_is_quiet() -> None:
    samples = noise(20)
    samples[int(8.5 * SAMPLE_RATE) : int(9.2 * SAMPLE_RATE)] = 0
    (_, first), *_ = cut_blocks([samples], 10)
    assert 8.5 < first.size / SAMPLE_RATE < 9.2


def test_a_short_recording_is_one_block() -> None:
    samples = noise(3)
    assert [(start, block.size) for start, block in cut_blocks([samples], 10)] == [(0, samples.size)]


def test_nothing_gives_nothing() -> None:
    assert list(cut_blocks([], 10)) == []
