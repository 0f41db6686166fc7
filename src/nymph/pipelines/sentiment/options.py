"""Options of the sentiment stage."""

from nymph.sentiment.score import SentimentOptions

__all__ = ["SentimentOptions"]
