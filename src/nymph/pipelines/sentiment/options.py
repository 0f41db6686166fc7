"""Options of the sentiment stage."""

from pydantic import Field

from nymph.sentiment.arousal import TrustOptions
from nymph.sentiment.score import SentimentOptions


class SentimentParameters(SentimentOptions):
    """`params:sentiment`."""

    trust: TrustOptions = Field(default_factory=TrustOptions)
    """Which labels training may learn from; utterances.jsonl says it as `sentiment.trusted`."""
