"""Judge every utterance, then put everything known of it into one line."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from nymph.compute import ComputeOptions, PerItem
from nymph.features.assemble import Sources
from nymph.features.assemble import assemble_utterances as assemble
from nymph.files import fingerprint
from nymph.lazy import Lazy
from nymph.pipelines.sentiment.options import SentimentParameters
from nymph.sentiment.score import SentimentScore, score_texts
from nymph.stages import Item, Work, whole
from nymph.stores.items import StoredItems
from nymph.stores.quarantine import Quarantine
from nymph.stores.recordings import Recordings
from nymph.stores.speakers import Speakers

VERSION = 2
"""Raised when the same texts and options would give other scores than before."""

UTTERANCES_VERSION = 2
"""Raised when the same tables would be joined to other utterances than before."""

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
    transcripts: StoredItems, classifier: Lazy[Any], options: SentimentParameters, compute: ComputeOptions
) -> tuple[Work, Quarantine]:
    """Declare the sentiment of every unit's segments."""
    identity = [VERSION, classifier.identity, options.model_dump(mode="json", exclude={"trust"})]
    items = [Item(unit, fingerprint(key, identity)) for unit, key in transcripts.keys.items()]
    one = partial(_score, transcripts, classifier, options)
    work = Work("sentiment", items, PerItem(one, compute.for_model(classifier.single)))
    return work, Quarantine(work)


def assemble_utterances(
    recordings: Recordings,
    transcripts: StoredItems,
    features: StoredItems,
    speakers: Speakers,
    frames: StoredItems,
    scores: StoredItems,
    options: SentimentParameters,
) -> Work:
    """Declare `utterances.jsonl`: text, words, prosody, sentiment, speaker and metadata of every utterance."""
    parts = [part.fingerprint for part in (transcripts, features, speakers, frames, scores)]
    key = fingerprint(UTTERANCES_VERSION, recordings.fingerprint, parts, options.trust.model_dump(mode="json"))

    def make() -> Iterator[dict[str, Any]]:
        sources = Sources(recordings, transcripts, features, frames, scores, speakers.names())
        return assemble(sources, options.trust)

    return whole("utterances", key, make)


def _score(transcripts: StoredItems, classifier: Lazy[Any], options: SentimentParameters, item: Item) -> pa.Table:
    segments = transcripts.read(item.id, ["recording", "index", "text"])
    return _table(segments, score_texts(classifier.get(), segments["text"].to_pylist(), options))


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
