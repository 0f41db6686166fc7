"""The sparse search against librosa's dense one, on candidates that no sound would give."""

import librosa
import numpy as np
import pytest

from nymph.audio.pyin import Candidates
from nymph.audio.viterbi import SWITCH, UNVOICED, WIDTH, TrackSearch

BINS = 120


def random_candidates(seed: int, frames: int, certain: float) -> Candidates:
    """A few candidates a frame; in a share `certain` of the frames their probabilities sum to one exactly."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, frames)
    bins = [np.sort(rng.choice(BINS, count, replace=False)) for count in counts]
    shares = [rng.dirichlet(np.ones(count)) if count else np.zeros(0) for count in counts]
    total = np.where(rng.random(frames) < certain, 1.0, rng.random(frames))
    probability = [np.round(share * 2**30) / 2**30 * all_ for share, all_ in zip(shares, total, strict=True)]
    voiced = np.array([min(p.sum(), 1.0) for p in probability])
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return Candidates(starts, np.concatenate(bins).astype(np.int32), np.concatenate(probability), voiced)


def dense_track(candidates: Candidates) -> np.ndarray:
    frames = len(candidates.voiced_probability)
    observed = np.zeros((2 * BINS, frames))
    for i in range(frames):
        here = slice(candidates.starts[i], candidates.starts[i + 1])
        observed[candidates.bins[here], i] = candidates.probability[here]
    observed[BINS:] = (1 - candidates.voiced_probability) / BINS
    local = librosa.sequence.transition_local(BINS, WIDTH, window="triangle", wrap=False)
    transition = np.kron(librosa.sequence.transition_loop(2, 1 - SWITCH), local)
    states = librosa.sequence.viterbi(observed, transition, p_init=np.full(2 * BINS, 0.5 / BINS))
    return np.where(states < BINS, states.astype(np.int64), UNVOICED)


def batches(candidates: Candidates, size: int) -> list[Candidates]:
    cuts = range(0, len(candidates.voiced_probability), size)
    return [cut(candidates, start, start + size) for start in cuts]


def cut(candidates: Candidates, start: int, stop: int) -> Candidates:
    starts = candidates.starts[start : stop + 1]
    here = slice(starts[0], starts[-1])
    voiced = candidates.voiced_probability[start:stop]
    return Candidates(starts - starts[0], candidates.bins[here], candidates.probability[here], voiced)


@pytest.mark.parametrize("certain", [0.0, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_random_candidates_are_tracked_as_by_librosa(seed, certain):
    candidates = random_candidates(seed, 300, certain)
    search = TrackSearch(BINS)
    track = np.concatenate([search.push(candidates), search.finish()])
    np.testing.assert_array_equal(track, dense_track(candidates))


@pytest.mark.parametrize("size", [1, 7, 100])
def test_any_batches_give_the_same_track(size):
    candidates = random_candidates(0, 300, 0.3)
    search = TrackSearch(BINS)
    parts = [search.push(part) for part in batches(candidates, size)]
    np.testing.assert_array_equal(np.concatenate([*parts, search.finish()]), dense_track(candidates))


def test_what_is_decided_is_forgotten():
    search = TrackSearch(BINS)
    held = []
    for part in batches(random_candidates(0, 3000, 0.1), 100):
        search.push(part)
        held.append(len(search._nodes))
    assert max(held[10:]) < 200
