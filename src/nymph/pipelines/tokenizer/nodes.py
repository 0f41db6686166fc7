"""One vocabulary for everything that is said, read or typed, and units for how it sounds."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from nymph.files import fingerprint
from nymph.lazy import Lazy
from nymph.pipelines.parquet.options import ParquetOptions
from nymph.pipelines.tokenizer.options import TokenizerParameters, TokenizerStageOptions
from nymph.sentiment.labels import label_names
from nymph.sequences.frames import FrameFolder, spoken
from nymph.sequences.splits import plan_splits
from nymph.sequences.units import Codebook, fit_codebook
from nymph.stages import Work, whole
from nymph.stores.items import StoredItems
from nymph.stores.utterances import Utterances
from nymph.text.fertility import fertility
from nymph.text.prosody import learn_edges
from nymph.text.tokenizer import Tokenizer
from nymph.text.tokenizer import train_tokenizer as train

VERSION = 3
"""Raised when the same texts and options would give another tokenizer than before."""
CODEBOOK_VERSION = 1
"""Raised when the same frames and options would give other audio units than before."""
REPORTED_TEXTS = 20_000
"""Texts that the fertility report looks at: it is made anew by every run."""


def check_tokenizer_options(parameters: TokenizerParameters, sentiment_classifier: Lazy[Any]) -> None:
    """Look at the options before any work: this depends on nothing that is made, so it comes first in every run.

    Raises:
        NymphError: the sentiment model has a label without a token, or `seed_config` cannot be read.
    """
    labels = label_names(sentiment_classifier.identity["model"])
    parameters.settled().special_tokens.check_sentiment_labels(labels)


def train_tokenizer(utterances: Utterances, parameters: TokenizerParameters) -> Work:
    """Declare the tokenizer; texts are streamed from the utterances."""
    options = parameters.settled()
    chosen = {name: value for name, value in asdict(options).items() if name != "audio_units"}
    key = fingerprint(VERSION, utterances.fingerprint, chosen, options.audio_units.units)
    return whole("tokenizer", key, lambda: _learn(utterances, options))


def fit_audio_units(
    utterances: Utterances, frames: StoredItems, parameters: TokenizerParameters, rows: ParquetOptions
) -> Work:
    """Declare the codebook of audio units, learned from what is said in the training split."""
    chosen = parameters.root.audio_units
    corpus = [utterances.fingerprint, frames.fingerprint, asdict(rows.split)] if chosen.units else []
    base = Codebook.load(Path(chosen.base)).fingerprint if chosen.base else None

    def tables() -> Iterator[pa.Table]:
        train_utterances = plan_splits(utterances, rows.split).select(utterances, "train")
        return (table for _, table in spoken(train_utterances, FrameFolder(frames.folder)))

    return whole(
        "tokenizer",
        fingerprint(CODEBOOK_VERSION, asdict(chosen), base, corpus),
        lambda: fit_codebook(tables() if chosen.units else (), chosen),
    )


def report_fertility(utterances: Utterances, tokenizer: Tokenizer) -> dict[str, Any]:
    """How well the vocabulary fits the corpus, beside GPT-2's and GPT-4's where their tables are at hand."""
    report = fertility(tokenizer, (utterance["text"] for utterance in utterances), REPORTED_TEXTS)
    peers = [f"{name} {value}" for name, value in report["peers_bytes_per_token"].items() if value is not None]
    beside = f" ({', '.join(peers)})" if peers else ""
    return {**report, "summary": [f"{report['bytes_per_token']} bytes a token{beside}, {tokenizer.size} ids"]}


def _learn(utterances: Utterances, options: TokenizerStageOptions) -> Tokenizer:
    """The vocabulary from the texts, the edges of the prosody bins from how they were said, and a token a unit."""
    tokenizer = train((utterance["text"] for utterance in utterances), options)
    tokenizer = tokenizer.with_prosody_edges(learn_edges(utterances, options.special_tokens.prosody_bins))
    return tokenizer.with_audio_units(options.audio_units.units)
