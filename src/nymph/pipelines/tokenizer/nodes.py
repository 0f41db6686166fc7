"""One vocabulary for everything that is said, read or typed, and units for how it sounds."""

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from nymph.compute import ComputeOptions, PerItem
from nymph.files import fingerprint
from nymph.ingestion.raw import RawFolder
from nymph.lazy import Lazy
from nymph.pipelines.parquet.options import ParquetOptions
from nymph.pipelines.parquet.sounds import sounds_of
from nymph.pipelines.tokenizer.options import TokenizerParameters, TokenizerStageOptions
from nymph.sentiment.labels import label_names
from nymph.sequences.frames import spoken
from nymph.sequences.splits import plan_splits
from nymph.sequences.units import Codebook, fit_codebook
from nymph.stages import Item, Work, whole
from nymph.stores.items import StoredItems
from nymph.stores.quarantine import Quarantine
from nymph.stores.recordings import Recordings
from nymph.stores.utterances import Utterances
from nymph.text.fertility import fertility
from nymph.text.prosody import learn_edges
from nymph.text.tokenizer import Tokenizer
from nymph.text.tokenizer import train_tokenizer as train
from nymph.transcription.states import Encoder, extract_states

VERSION = 3
"""Raised when the same texts and options would give another tokenizer than before."""
CODEBOOK_VERSION = 2
"""Raised when the same frames and options would give other audio units than before."""
STATES_VERSION = 1
"""Raised when the same recording and encoder would give other states than before."""
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


def encode_speech(
    raw: RawFolder,
    recordings: Recordings,
    speech_encoder: Lazy[Encoder],
    parameters: TokenizerParameters,
    compute: ComputeOptions,
) -> tuple[Work, Quarantine]:
    """Declare the encoder's states of every recording, where audio units are to stand for them."""
    chosen = parameters.root.audio_units
    units = recordings.units("speech") if chosen.units and chosen.of == "state" else {}
    items = [
        Item(unit, fingerprint(STATES_VERSION, unit, speech_encoder.identity), source=rows[0]["source"])
        for unit, rows in units.items()
    ]
    one = partial(_encode, raw, speech_encoder)
    work = Work("speech_states", items, PerItem(one, compute.for_model(speech_encoder.single)))
    return work, Quarantine(work)


def fit_audio_units(
    utterances: Utterances,
    frames: StoredItems,
    states: StoredItems,
    parameters: TokenizerParameters,
    rows: ParquetOptions,
) -> Work:
    """Declare the codebook of audio units, learned from what is said in the training split."""
    chosen = parameters.root.audio_units
    sounds = [utterances.fingerprint, frames.fingerprint, states.fingerprint]
    corpus = [*sounds, asdict(rows.split)] if chosen.units else []
    base = Codebook.load(Path(chosen.base)).fingerprint if chosen.base else None

    def tables() -> Iterator[pa.Table]:
        train_utterances = plan_splits(utterances, rows.split).select(utterances, "train")
        return (table for _, table in spoken(train_utterances, sounds_of(frames, states, chosen.of)))

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


def _encode(raw: RawFolder, encoder: Lazy[Encoder], item: Item) -> pa.RecordBatchReader:
    return extract_states(raw.path_of(item.source), encoder.get())


def _learn(utterances: Utterances, options: TokenizerStageOptions) -> Tokenizer:
    """The vocabulary from the texts, the edges of the prosody bins from how they were said, and a token a unit."""
    tokenizer = train((utterance["text"] for utterance in utterances), options)
    tokenizer = tokenizer.with_prosody_edges(learn_edges(utterances, options.special_tokens.prosody_bins))
    return tokenizer.with_audio_units(options.audio_units.units)
