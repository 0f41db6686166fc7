"""Pitch against librosa.pyin frame by frame, on speech, on edges, and in any blocks."""

import librosa
import numpy as np
import pytest

from nymph.audio.pitch import Pitch, PitchTracker, pitch
from nymph.audio.pyin import PitchRange

SPEECH = PitchRange()
MUSIC = PitchRange(f_min=65.40639132514966, f_max=2093.004522404789, frame_length=2048)  # C2-C7
RATE = 16_000


def librosa_pitch(samples: np.ndarray, search: PitchRange) -> Pitch:
    f0, voiced, probability = librosa.pyin(
        samples, fmin=search.f_min, fmax=search.f_max, frame_length=search.frame_length, sr=RATE, hop_length=160
    )
    return Pitch(f0.astype(np.float32), voiced, probability.astype(np.float32))


def assert_same(ours: Pitch, theirs: Pitch) -> None:
    np.testing.assert_array_equal(ours.voiced, theirs.voiced)
    np.testing.assert_array_equal(ours.f0_hz, theirs.f0_hz)
    np.testing.assert_allclose(ours.voiced_probability, theirs.voiced_probability, atol=1e-6)


def sweep(start: float, stop: float, seconds: float = 2.0) -> np.ndarray:
    hertz = np.geomspace(start, stop, round(seconds * RATE))
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    return (0.3 * np.sin(phase) + 0.1 * np.sin(2 * phase)).astype(np.float32)


@pytest.mark.parametrize("search", [SPEECH, MUSIC], ids=["65-400 Hz", "C2-C7"])
def test_speech_is_tracked_as_by_librosa(search, speech):
    part = speech[100_000:180_000]
    ours = pitch(part, search)
    assert 0.2 < ours.voiced.mean() < 0.9
    assert_same(ours, librosa_pitch(part, search))


NOISE = np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32)

SOUNDS = {
    "silence": np.zeros(RATE, np.float32),
    "nearly silence": NOISE * 1e-6,
    "noise": NOISE,
    "constant": np.full(RATE, 0.5, np.float32),
    "pure tone": np.sin(2 * np.pi * 220 * np.arange(RATE) / RATE).astype(np.float32),
    "sweep": sweep(80, 380),
    "above the range": sweep(600, 3000),
    "octave jumps": np.concatenate([sweep(90, 91, 0.1), sweep(380, 381, 0.1)] * 5),
    "clipped": np.clip(sweep(100, 300) * 20, -1, 1),
    "clicks": (np.arange(RATE) % 100 == 0).astype(np.float32),
    "sound between silences": np.concatenate([np.zeros(RATE, np.float32), sweep(100, 200, 0.5), np.zeros(RATE)]),
    "one sample": np.ones(1, np.float32),
    "one period": sweep(200, 200, 0.005),
}


@pytest.mark.parametrize("sound", SOUNDS.values(), ids=SOUNDS.keys())
def test_any_sound_is_tracked_as_by_librosa(sound):
    sound = np.asarray(sound, np.float32)
    assert_same(pitch(sound), librosa_pitch(sound, SPEECH))


def test_octave_jumps_are_tracked_as_by_librosa_over_five_octaves():
    sound = np.concatenate([sweep(70, 71, 0.1), sweep(2000, 2001, 0.1)] * 5)
    assert_same(pitch(sound, MUSIC), librosa_pitch(sound, MUSIC))


@pytest.mark.parametrize("blocks", [1, 3, 40])
def test_any_blocks_give_the_same_track(blocks, speech):
    part = speech[:160_000]
    cuts = np.sort(np.random.default_rng(blocks).integers(0, len(part), blocks))
    tracker = PitchTracker()
    parts = [got for block in np.split(part, cuts) for got in tracker.push(block)] + list(tracker.finish())
    whole = pitch(part)
    for column in ("f0_hz", "voiced", "voiced_probability"):
        np.testing.assert_array_equal(np.concatenate([getattr(p, column) for p in parts]), getattr(whole, column))


def test_frames_are_handed_out_while_the_recording_goes_on(speech):
    tracker = PitchTracker()
    early = sum(len(part) for part in tracker.push(speech))
    assert early > 2000


def test_long_silence_is_not_held_back():
    tracker = PitchTracker()
    early = sum(len(part) for part in tracker.push(np.zeros(60 * RATE, np.float32)))
    assert early > 5000


def test_silence_has_no_pitch():
    track = pitch(np.zeros(RATE, np.float32))
    assert len(track) == 101
    assert not track.voiced.any()
    assert np.isnan(track.f0_hz).all()


def test_tone_is_found_within_a_tenth_of_a_semitone(tone):
    track = pitch(tone)
    assert track.voiced[5:-5].all()
    np.testing.assert_allclose(12 * np.log2(track.f0_hz[5:-5] / 220), 0, atol=0.1)


@pytest.mark.parametrize(
    "wrong", [{"f_min": 0.0}, {"f_min": 400.0}, {"f_max": 9000.0}, {"frame_length": 200}, {"frame_length": 1023}]
)
def test_impossible_range_is_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        PitchRange(**wrong)
