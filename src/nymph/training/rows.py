"""What a table of rows says about itself, wherever it is: enough to build a model for it."""

from dataclasses import dataclass
from typing import Any

from nymph.errors import NymphError
from nymph.flight.source import open_source
from nymph.sequences.schema import (
    TOKENIZER_KEY,
    check_schema,
    context_length_of,
    sentiment_labels_of,
    vocabulary_size_of,
)

FIRST_CONTACT_S = 5.0
"""Seconds for a server to answer before anything has begun; once training runs it gets `connection.patience`."""


@dataclass(frozen=True)
class RowFacts:
    """Facts of one table."""

    location: str
    rows: int
    fingerprint: str
    """Of the content."""
    context_length: int
    vocabulary_size: int
    sentiments: tuple[str, ...]
    tokenizer: str
    """Fingerprint of the tokenizer."""

    def check_same_tokenizer(self, other: "RowFacts") -> None:
        """NymphError unless both tables were made with one tokenizer."""
        if self.tokenizer != other.tokenizer:
            raise NymphError(
                f"{self.location} and {other.location} were made with different tokenizers; "
                "run the parquet pipeline again"
            )


def read_facts(location: str, **connection: Any) -> RowFacts:
    """The facts of the table at `location`; see `nymph.flight.source.open_source` for places and errors."""
    patience = min(FIRST_CONTACT_S, float(connection.get("patience", FIRST_CONTACT_S)))
    source = open_source(location, **{**connection, "patience": patience})
    try:
        check_schema(source.schema, location)
        return RowFacts(
            location,
            source.rows,
            source.fingerprint,
            context_length_of(source.schema),
            vocabulary_size_of(source.schema),
            sentiment_labels_of(source.schema),
            (source.schema.metadata or {}).get(TOKENIZER_KEY, b"").decode(),
        )
    finally:
        source.close()
