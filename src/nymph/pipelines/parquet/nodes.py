"""Utterances become packed rows, one table a split."""

from functools import partial
from pathlib import Path
from typing import Any

from nymph.files import fingerprint
from nymph.pipelines.parquet.options import ParquetOptions
from nymph.pipelines.parquet.sounds import sounds_of
from nymph.sequences.inspect import first_rows
from nymph.sequences.preparation import Corpus
from nymph.sequences.report import describe_rows
from nymph.sequences.splits import SPLITS
from nymph.sequences.units import Codebook
from nymph.stages import Work, whole
from nymph.stores.items import StoredItems
from nymph.stores.kept import kept_fingerprint
from nymph.stores.utterances import Utterances
from nymph.text.tokenizer import Tokenizer

VERSION = 3
"""Raised when the same utterances and options would give other rows than before."""
DRAWN_ROWS = 16
"""Rows among which the picture's document is chosen."""


def pack_sequences(
    utterances: Utterances,
    frames: StoredItems,
    states: StoredItems,
    tokenizer: Tokenizer,
    codebook: Codebook,
    options: ParquetOptions,
) -> tuple[Work, Work, Work]:
    """Declare the rows of train, validation and test."""
    chosen = options.model_dump(mode="json", exclude={"workers"})
    corpora = [utterances.fingerprint, frames.fingerprint, states.fingerprint]
    key = fingerprint(VERSION, corpora, tokenizer.fingerprint, codebook.fingerprint, chosen)
    units = codebook if codebook.size else None
    sounds = sounds_of(frames, states, codebook.of if codebook.size else "log_mel")
    corpus = Corpus(utterances, tokenizer, sounds, options, key, units, options.workers)
    train, validation, test = (
        whole("parquet", fingerprint(key, split), lambda split=split: partial(corpus.write, split))  # type: ignore[misc]
        for split in SPLITS
    )
    return train, validation, test


def describe_sequences(train: str, validation: str, test: str) -> dict[str, Any]:
    """The realised mix: rows, documents and positions of each split by task and kind."""
    report = {split: describe_rows(place) for split, place in zip(SPLITS, (train, validation, test), strict=True)}
    rows = ", ".join(f"{split} {facts['rows']}" for split, facts in report.items())
    return {**report, "summary": [f"rows: {rows}"]}


def draw_sequences(train: str, tokenizer: Tokenizer) -> Work:
    """Declare a picture of what a training row sounds like and says."""

    def draw() -> bytes:
        from nymph.sequences.picture import picture_of

        return picture_of(first_rows(Path(train), tokenizer, DRAWN_ROWS))

    return whole("parquet", fingerprint(VERSION, kept_fingerprint(Path(train))), draw)


def publish_tokenizer(tokenizer: Tokenizer) -> Work:
    """Declare the tokenizer as a table beside the rows, so that whoever is served the rows is served it too."""
    return whole("parquet", fingerprint(VERSION, tokenizer.fingerprint), lambda: tokenizer)
