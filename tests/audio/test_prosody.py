"""Prosody of spans whose melody, rhythm and pauses are known."""

import math

import numpy as np
import pytest

from nymph.audio.frames import frame_table
from nymph.audio.prosody import Prosody, ProsodyAverage, span_prosody, syllable_nuclei, utterance_prosody

SECOND = 100  # frames


def level(*parts: tuple[float, float]) -> np.ndarray:
    """Energy in dB from (decibels, seconds)."""
    return np.concatenate([np.full(round(seconds * SECOND), decibels) for decibels, seconds in parts]).astype(
        np.float32
    )


def of(f0: np.ndarray, energy: np.ndarray | None = None) -> Prosody:
    energy = np.full(len(f0), -20.0, np.float32) if energy is None else energy
    prosody = utterance_prosody(f0.astype(np.float32), np.isfinite(f0), energy)
    assert prosody is not None
    return prosody


def test_steady_voice():
    prosody = of(np.full(SECOND, 200.0))
    assert prosody.f0_mean_hz == pytest.approx(200, rel=1e-5)
    assert prosody.f0_range_semitones == pytest.approx(0, abs=1e-4)
    assert prosody.f0_slope_semitones_per_s == pytest.approx(0, abs=1e-4)
    assert (prosody.voiced_share, prosody.pause_share) == (1, 0)
    assert prosody.energy_db == pytest.approx(-20)


def test_octave_in_a_second_is_a_slope_of_twelve():
    prosody = of(100 * 2 ** (np.arange(SECOND) / SECOND))
    assert prosody.f0_slope_semitones_per_s == pytest.approx(12, rel=1e-3)
    assert prosody.f0_range_semitones == pytest.approx(0.9 * 12, rel=0.02)
    assert prosody.f0_mean_hz == pytest.approx(100 * math.sqrt(2), rel=0.01)


def test_unvoiced_span_has_no_pitch():
    prosody = of(np.full(SECOND, np.nan))
    assert prosody.f0_mean_hz is prosody.f0_range_semitones is prosody.f0_slope_semitones_per_s is None
    assert (prosody.voiced_share, prosody.rate_syllables_per_s) == (0, 0)


def test_silence_is_all_pause():
    prosody = of(np.full(SECOND, np.nan), level((-100, 1)))
    assert (prosody.pause_share, prosody.energy_db) == (1, pytest.approx(-100))


def test_a_few_voiced_frames_have_no_slope():
    f0 = np.full(SECOND, np.nan)
    f0[:4] = 150
    assert of(f0).f0_slope_semitones_per_s is None


def test_no_frames_is_no_prosody():
    none = np.zeros(0, np.float32)
    assert utterance_prosody(none, none.astype(bool), none) is None


def test_pause_is_a_silence_of_100_ms():
    energy = level((-20, 0.4), (-80, 0.2), (-20, 0.3), (-80, 0.05), (-20, 0.05))
    assert of(np.full(SECOND, 100.0), energy).pause_share == pytest.approx(0.2)


def test_energy_is_the_mean_of_power():
    assert of(np.full(SECOND, 100.0), level((-20, 0.5), (-80, 0.5))).energy_db == pytest.approx(-23.01, abs=0.01)


def test_syllables_are_voiced_peaks_between_dips():
    energy = (-20 + 6 * np.cos(2 * np.pi * 4 * np.arange(2 * SECOND) / SECOND)).astype(np.float32)
    voiced = np.arange(2 * SECOND) < 150
    np.testing.assert_allclose(syllable_nuclei(voiced, energy), [0, 25, 50, 75, 100, 125], atol=2)
    assert of(np.where(voiced, 100.0, np.nan), energy).rate_syllables_per_s == pytest.approx(3)


def test_ripple_is_one_syllable():
    energy = (-20 + 0.5 * np.cos(np.arange(SECOND))).astype(np.float32)
    assert len(syllable_nuclei(np.ones(SECOND, bool), energy)) == 1


def test_word_takes_the_frames_inside_it():
    f0 = np.repeat([100.0, 200.0, 300.0], SECOND).astype(np.float32)
    columns = (f0, np.ones(len(f0), bool), np.full(len(f0), -20, np.float32))
    word = span_prosody(*columns, start=1.0, end=2.0)
    assert word is not None
    assert (word.f0_mean_hz, word.f0_range_semitones) == (pytest.approx(200), pytest.approx(0))
    assert span_prosody(*columns, start=1.001, end=1.009) is None
    assert span_prosody(*columns, start=9.0, end=10.0) is None


def test_z_scores_compare_a_voice_with_itself():
    low, high, hushed = (of(np.full(SECOND, hertz)).as_dict() for hertz in (100.0, 110.0, np.nan))
    average = ProsodyAverage()
    for span in (low, high, hushed | {"f0_mean_hz": None}):
        average.add(span)
    assert [average.z_scores(span)["f0_mean_hz"] for span in (low, high)] == [pytest.approx(-1), pytest.approx(1)]
    assert average.z_scores(hushed | {"f0_mean_hz": None})["f0_mean_hz"] is None
    assert average.z_scores(low)["energy_db"] is None  # no spread, so no scale
    assert average.spans == 3


def test_speech_has_plausible_prosody(speech):
    table = frame_table([speech])
    columns = [table[name].to_numpy() for name in ("f0_hz", "voiced", "energy_db")]
    prosody = utterance_prosody(*columns)
    assert prosody is not None
    assert 80 < prosody.f0_mean_hz < 300
    assert 1.5 < prosody.rate_syllables_per_s < 7
    assert all(isinstance(value, float) for value in prosody.as_dict().values())
