"""Judge every utterance, then put everything known of it into one line."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from nymph.errors import NymphError
from nymph.files import fingerprint
from nymph.lazy import Lazy
from nymph.pipelines.sentiment.options import SentimentOptions
from nymph.sentiment.score import SentimentScore, score_texts
from nymph.stages import Item, Made, Outcome, Work, failure_of, whole
from nymph.stores.assemble import assemble_utterances as assemble
from nymph.stores.items import StoredItems
from nymph.stores.quarantine import Quarantine
from nymph.stores.recordings import Recordings

VERSION = 1
"""Raised when the same texts and options would give other scores than before."""

SCORE_SCHEMA = pa.schema(
    [
        ("recording", pa.string()),
        ("index", pa.int32()),
        ("label", pa.string()),
        ("score", pa.float32()),
        ("scores", pa.list_(pa.struct([("label", pa.string()), ("score", pa.float32())]))),
    ],
    metadata={"nymph.schema": "sentiment/1"},
)


def score_sentiment(
    transcripts: StoredItems, classifier: Lazy[Any], options: SentimentOptions
) -> tuple[Work, Quarantine]:
    """Declare the sentiment of every unit's segments."""
    identity = [VERSION, classifier.identity, options.model_dump(mode="json")]
    items = [Item(unit, fingerprint(key, identity)) for unit, key in transcripts.keys.items()]
    work = Work("sentiment", items, partial(_score, transcripts, classifier, options))
    return work, Quarantine(work)


def assemble_utterances(
    recordings: Recordings, transcripts: StoredItems, features: StoredItems, frames: StoredItems, scores: StoredItems
) -> Work:
    """Declare `utterances.jsonl`: text, words, prosody, sentiment, speaker and metadata of every utterance."""
    parts = (transcripts, features, frames, scores)
    key = fingerprint(VERSION, recordings.fingerprint, [part.fingerprint for part in parts])
    return whole("utterances", key, lambda: assemble(recordings, *parts))


def _score(
    transcripts: StoredItems, classifier: Lazy[Any], options: SentimentOptions, items: Sequence[Item]
) -> Iterator[Outcome]:
    for item in items:
        segments = transcripts.read(item.id, ["recording", "index", "text"])
        try:
            scores = score_texts(classifier.get(), segments["text"].to_pylist(), options)
        except NymphError as error:
            yield failure_of(item, error)
            continue
        yield Made(item, _table(segments, scores))


def _table(segments: pa.Table, scores: Sequence[SentimentScore | None]) -> pa.Table:
    rows = [
        {
            "label": score.label if score else None,
            "score": score.score if score else None,
            "scores": [{"label": label, "score": value} for label, value in score.scores.items()] if score else None,
        }
        for score in scores
    ]
    judged = pa.Table.from_pylist(rows, pa.schema(list(SCORE_SCHEMA)[2:]))
    columns = [segments["recording"], segments["index"], *judged.columns]
    return pa.Table.from_arrays(columns, schema=SCORE_SCHEMA)
