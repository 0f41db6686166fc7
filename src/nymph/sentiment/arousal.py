"""What an utterance sounds like beside what it says: arousal from prosody, and whether the two agree.

Arousal is how far pitch, pitch range, loudness and speed lie above the same speaker's own average, as a mean of
z-scores pressed into 0..1; the four cues that raise with activation in every study that Scherer ("Vocal communication
of emotion", Speech Communication 40, 2003) reviews. It knows nothing of pleasant or unpleasant, so it can only say how
strongly something is felt: strong words in a flat voice, and neutral words in an agitated one, are marked as
disagreeing. The price: a speaker with few utterances has no average, so there is no arousal rather than a guess.
"""

import math
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

CUES = ("f0_mean_hz", "f0_range_semitones", "energy_db", "rate_syllables_per_s")
"""Fields of an utterance's prosody that rise with arousal."""


class TrustOptions(BaseModel):
    """Options of `is_trusted`: which labels training may learn from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_score: float = Field(default=0.5, ge=0, le=1)
    """The label's score below which it is not learnt from."""
    min_agreement: float = Field(default=0.25, ge=0, le=1)
    """Agreement of text and voice below which it is not learnt from; utterances without arousal are exempt."""
    min_utterances: int = Field(default=4, ge=2)
    """Utterances a speaker needs before arousal is measured against that speaker's average."""


def arousal(z_scores: Mapping[str, float | None]) -> float | None:
    """Arousal in 0..1 from an utterance's z-scores, 0.5 being the speaker's average; None where it has no cue."""
    known = [score for cue in CUES if (score := z_scores.get(cue)) is not None]
    return 1 / (1 + math.exp(-sum(known) / len(known))) if known else None


def agreement(scores: Mapping[str, float], voice: float | None, neutral: str = "neutral") -> float | None:
    """How well the strength of the text's sentiment fits the voice, 0..1; None without arousal or a neutral label.

    The text's strength is one minus the neutral score. It is compared with arousal, 1 where they are equal.
    """
    if voice is None or neutral not in scores:
        return None
    return 1 - abs((1 - scores[neutral]) - voice)


def is_trusted(score: float, agreed: float | None, options: TrustOptions) -> bool:
    """Whether a label with this score is sure enough, and fits the voice well enough, for training to learn from it."""
    return score >= options.min_score and (agreed is None or agreed >= options.min_agreement)
