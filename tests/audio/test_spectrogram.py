"""Spectral features against librosa, and on the edges of what sound can be."""

import librosa
import numpy as np
import pytest

from nymph.audio.framing import Framer
from nymph.audio.pitch import pitch
from nymph.audio.spectrogram import (
    log_mel,
    mel_filters,
    mel_power,
    mfcc,
    rms_energy_db,
    spectral_features,
    stream_spectral_features,
)

SETTINGS = {"sr": 16_000, "n_fft": 400, "hop_length": 160, "n_mels": 80}


def worst(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def test_mel_power_equals_librosa_in_every_cell(speech):
    framer = Framer(400)
    ours = np.concatenate([mel_power(frames, 80) for frames in [*framer.push(speech), *framer.finish()]])
    theirs = librosa.feature.melspectrogram(y=speech, **SETTINGS).T
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=0)


def test_log_mel_and_mfcc_equal_librosa(speech):
    decibels = librosa.power_to_db(librosa.feature.melspectrogram(y=speech, **SETTINGS), top_db=None)
    assert worst(log_mel(speech), decibels.T) < 1e-6
    assert worst(mfcc(speech), librosa.feature.mfcc(S=decibels, n_mfcc=20).T) < 1e-5


def test_energy_equals_librosa(speech):
    theirs = librosa.feature.rms(y=speech, frame_length=400, hop_length=160)[0]
    assert worst(rms_energy_db(speech), librosa.amplitude_to_db(theirs, top_db=None)) < 1e-6


@pytest.mark.parametrize("mels", [40, 80])
def test_filters_equal_librosa(mels):
    np.testing.assert_allclose(mel_filters(mels).T, librosa.filters.mel(sr=16_000, n_fft=400, n_mels=mels), rtol=1e-6)


@pytest.mark.parametrize("samples", [0, 1, 159, 160, 401, 20_000, 40_960])
def test_frame_count_is_librosas_for_every_feature(samples, speech):
    features = spectral_features(speech[:samples])
    assert len(features.log_mel) == len(features.mfcc) == len(features.energy_db) == 1 + samples // 160


def test_any_blocks_give_the_same_bits(speech):
    whole = spectral_features(speech)
    cuts = np.sort(np.random.default_rng(0).integers(0, len(speech), 50))
    parts = list(stream_spectral_features(np.split(speech, cuts)))
    np.testing.assert_array_equal(np.concatenate([part.log_mel for part in parts]), whole.log_mel)
    np.testing.assert_array_equal(np.concatenate([part.energy_db for part in parts]), whole.energy_db)


def test_silence_is_minus_100_db():
    features = spectral_features(np.zeros(16_000, np.float32))
    np.testing.assert_allclose(features.log_mel, -100, atol=1e-4)
    np.testing.assert_allclose(features.energy_db, -100, atol=1e-4)
    np.testing.assert_allclose(features.mfcc[:, 1:], 0, atol=1e-3)


def test_frame_is_centred_on_its_sample():
    click = np.zeros(16_000, np.float32)
    click[160 * 50] = 1
    assert np.argmax(log_mel(click).mean(axis=1)) == 50


def test_full_scale_square_wave_is_0_db():
    samples = np.sign(np.sin(2 * np.pi * 100 * np.arange(16_000) / 16_000 + 0.1)).astype(np.float32)
    np.testing.assert_allclose(rms_energy_db(samples)[5:-5], 0, atol=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_refused(value, tone):
    tone = tone.copy()
    tone[5] = value
    with pytest.raises(ValueError, match="finite"):
        spectral_features(tone)
    with pytest.raises(ValueError, match="finite"):
        pitch(tone)
