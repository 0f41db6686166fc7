"""What an utterance sounds like beside what it says: arousal from prosody, and whether the two agree.

Arousal is how far pitch, pitch range, loudness and speed lie above the same speaker's own average, as a mean of
z-scores pressed into 0..1; the four cues that raise with activation in every study that Scherer ("Vocal communication
of emotion", Speech Communication 40, 2003) reviews. It knows nothing of pleasant or unpleasant, so it can only say how
strongly something is felt: strong words in a flat voice, and neutral words in an agitated one, are marked as
disagreeing. The price: a speaker with few utterances has no average, so there is no arousal rather than a guess.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from nymph.sentiment.score import SentimentScore

CUES = ("f0_mean_hz", "f0_range_semitones", "energy_db", "rate_syllables_per_s")
"""Fields of an utterance's prosody that rise with arousal."""

Prosody = Mapping[str, float | None]


class TrustOptions(BaseModel):
    """Options of `is_trusted`: which labels training may learn from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_score: float = Field(default=0.5, ge=0, le=1)
    """The label's score below which it is not learnt from."""
    min_agreement: float = Field(default=0.25, ge=0, le=1)
    """Agreement of text and voice below which it is not learnt from; utterances without arousal are exempt."""
    min_utterances: int = Field(default=4, ge=2)
    """Utterances a speaker needs before arousal is measured against that speaker's average."""


def arousal(
    prosody: Sequence[Prosody | None], speakers: Sequence[str | None], min_utterances: int = 4
) -> list[float | None]:
    """Arousal of each utterance in 0..1, 0.5 being the speaker's average; None where there is nothing to compare."""
    members: dict[str | None, list[int]] = defaultdict(list)
    for index, (values, speaker) in enumerate(zip(prosody, speakers, strict=True)):
        if values is not None:
            members[speaker].append(index)
    found: list[float | None] = [None] * len(prosody)
    for indices in members.values():
        if len(indices) >= min_utterances:
            for index, value in zip(indices, _speaker_arousal([prosody[i] or {} for i in indices]), strict=True):
                found[index] = value
    return found


def agreement(score: SentimentScore, voice: float | None, neutral: str = "neutral") -> float | None:
    """How well the strength of the text's sentiment fits the voice, 0..1; None without arousal or a neutral label.

    The text's strength is one minus the neutral score. It is compared with arousal, 1 where they are equal.
    """
    if voice is None or neutral not in score.scores:
        return None
    return 1 - abs((1 - score.scores[neutral]) - voice)


def is_trusted(score: SentimentScore, agreed: float | None, options: TrustOptions | None = None) -> bool:
    """Whether a label is sure enough, and fits the voice well enough, for training to learn from it."""
    options = options or TrustOptions()
    return score.score >= options.min_score and (agreed is None or agreed >= options.min_agreement)


def _speaker_arousal(prosody: Sequence[Prosody]) -> list[float | None]:
    """Mean z-score over the cues that an utterance has, through a logistic."""
    values = np.array([[_log_pitch(name, p.get(name)) for name in CUES] for p in prosody], np.float64)
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0).sum(axis=0) / count
    spread = np.sqrt(np.where(known, np.square(values - mean), 0).sum(axis=0) / count)
    z = np.where(known, (values - mean) / np.maximum(spread, 1e-6), 0)
    present = known.sum(axis=1)
    means = z.sum(axis=1) / np.maximum(present, 1)
    return [1 / (1 + math.exp(-mean)) if n else None for mean, n in zip(means.tolist(), present.tolist(), strict=True)]


def _log_pitch(name: str, value: float | None) -> float:
    """Pitch in octaves, because a voice rises by ratios; NaN where there is no value."""
    if value is None:
        return math.nan
    return math.log2(value) if name == "f0_mean_hz" else float(value)
