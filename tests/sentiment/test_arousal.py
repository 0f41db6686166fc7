import pytest

from nymph.sentiment.arousal import TrustOptions, agreement, arousal, is_trusted
from nymph.sentiment.score import SentimentScore

CALM = {"f0_mean_hz": 110.0, "f0_range_semitones": 3.0, "energy_db": -30.0, "rate_syllables_per_s": 3.0}
EXCITED = {"f0_mean_hz": 190.0, "f0_range_semitones": 9.0, "energy_db": -15.0, "rate_syllables_per_s": 6.0}


def text(neutral: float) -> SentimentScore:
    scores = {"negative": 0.0, "neutral": neutral, "positive": 1 - neutral}
    label = max(scores, key=scores.__getitem__)
    return SentimentScore(label, scores[label], scores, 1)


def test_an_excited_voice_stands_out_from_its_own_average() -> None:
    values = arousal([CALM, CALM, CALM, EXCITED], ["a"] * 4)
    assert values[3] > 0.8 > 0.5 > values[0]


def test_each_speaker_has_an_own_average() -> None:
    high = {**CALM, "f0_mean_hz": 220.0}
    values = arousal([CALM] * 4 + [high] * 4, ["a"] * 4 + ["b"] * 4)
    assert values == pytest.approx([0.5] * 8)


def test_a_speaker_of_few_words_has_no_arousal() -> None:
    assert arousal([CALM, EXCITED, None], ["a", "a", "a"]) == [None, None, None]


def test_whispered_speech_is_judged_by_what_it_has() -> None:
    whispered = {**CALM, "f0_mean_hz": None, "f0_range_semitones": None}
    assert arousal([whispered, CALM, CALM, EXCITED], ["a"] * 4)[0] < 0.5


def test_strong_words_in_a_flat_voice_disagree() -> None:
    assert agreement(text(neutral=0.0), 0.1) == pytest.approx(0.1)
    assert agreement(text(neutral=0.9), 0.1) == pytest.approx(1.0)
    assert agreement(text(neutral=0.5), None) is None


def test_training_leaves_out_unsure_and_disagreeing_labels() -> None:
    options = TrustOptions(min_score=0.6, min_agreement=0.3)
    assert is_trusted(text(0.9), 0.9, options)
    assert not is_trusted(text(0.5), 0.9, options)
    assert not is_trusted(text(0.9), 0.1, options)
    assert is_trusted(text(0.9), None, options)
