"""Sentiment of utterances from their text, beside what their sound says. Importing this package loads no model."""
