import pytest

from nymph.audio.prosody import ProsodyAverage
from nymph.sentiment.arousal import TrustOptions, agreement, arousal, is_trusted

CALM = {"f0_mean_hz": 110.0, "f0_range_semitones": 3.0, "energy_db": -30.0, "rate_syllables_per_s": 3.0}
EXCITED = {"f0_mean_hz": 190.0, "f0_range_semitones": 9.0, "energy_db": -15.0, "rate_syllables_per_s": 6.0}


def heard(*spans: dict[str, float | None]) -> ProsodyAverage:
    average = ProsodyAverage()
    for span in spans:
        average.add(span)
    return average


def text(neutral: float) -> dict[str, float]:
    return {"negative": 0.0, "neutral": neutral, "positive": 1 - neutral}


def test_an_excited_voice_stands_out_from_its_own_average() -> None:
    average = heard(CALM, CALM, CALM, EXCITED)
    assert arousal(average.z_scores(EXCITED)) > 0.8 > 0.5 > arousal(average.z_scores(CALM))


def test_a_voice_that_never_changes_has_no_arousal() -> None:
    assert arousal(heard(CALM, CALM).z_scores(CALM)) is None


def test_whispered_speech_is_judged_by_what_it_has() -> None:
    whispered = {**CALM, "f0_mean_hz": None, "f0_range_semitones": None}
    assert arousal(heard(whispered, CALM, CALM, EXCITED).z_scores(whispered)) < 0.5


def test_strong_words_in_a_flat_voice_disagree() -> None:
    assert agreement(text(neutral=0.0), 0.1) == pytest.approx(0.1)
    assert agreement(text(neutral=0.9), 0.1) == pytest.approx(1.0)
    assert agreement(text(neutral=0.5), None) is None


def test_training_leaves_out_unsure_and_disagreeing_labels() -> None:
    options = TrustOptions(min_score=0.6, min_agreement=0.3)
    assert is_trusted(0.9, 0.9, options)
    assert not is_trusted(0.5, 0.9, options)
    assert not is_trusted(0.9, 0.1, options)
    assert is_trusted(0.9, None, options)
