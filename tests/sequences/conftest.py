"""A small corpus made here: utterances with words, frames and everything an utterance may have."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from nymph.sequences.document import Document
from nymph.sequences.rows import Row, origin_batch, row_batch
from nymph.sequences.schema import row_schema
from nymph.sequences.statistics import FeatureStatistics
from nymph.sequences.streams import Tools
from nymph.stores.utterances import SCHEMA_VERSION
from nymph.text.prosody import learn_edges
from nymph.text.tokenizer import Tokenizer, TokenizerOptions, train_tokenizer

SENTENCES = [
    "The birch canoe slid on the smooth planks.",
    "Glue the sheet to the dark blue background.",
    "It's easy to tell the depth of a well, isn't it?",
    "These days a chicken leg is a rare dish.",
    "Rice is often served in round bowls \u2014 na\u00efvely.",
]


def make_utterance(recording: str, index: int, start: float = 0.5, seconds_per_word: float = 0.31) -> dict[str, Any]:
    """A spoken utterance whose words follow each other without a pause."""
    text = SENTENCES[index % len(SENTENCES)]
    words = text.split()
    times = [round(start + k * seconds_per_word, 3) for k in range(len(words) + 1)]
    return {
        "schema": SCHEMA_VERSION,
        "id": f"{recording}:{index}",
        "recording": recording,
        "index": index,
        "kind": "speech",
        "source": "audio/a.wav",
        "role": None,
        "text": text,
        "language": "en",
        "start": times[0],
        "end": times[-1],
        "words": [
            {"word": word, "start": times[k], "end": times[k + 1], "confidence": 0.9, "timing": "aligned"}
            for k, word in enumerate(words)
        ],
        "speaker": f"S{index % 2}",
        "speaker_vector": np.linspace(-1, 1, 256).round(3).tolist(),
        "prosody": {"f0_mean_hz": 120.0 + index, "energy_db": -30.0 - index, "rate_syllables_per_s": 4.0},
        "sentiment": {"label": "positive", "score": 0.9, "scores": {}},
        "frames": {"file": f"{recording}.k.parquet", "start": round(times[0] * 100), "stop": round(times[-1] * 100)},
    }


def make_frames(count: int) -> pa.Table:
    """Frames whose first mel bin counts them, so that a patch says where it is from."""
    mel = np.random.default_rng(0).normal(size=(count, 80)).astype(np.float32)
    mel[:, 0] = np.arange(count)
    voiced = np.arange(count) % 4 != 0
    return pa.table(
        {
            "log_mel": pa.FixedSizeListArray.from_arrays(mel.ravel(), 80),
            "energy_db": np.linspace(-40, -20, count).astype(np.float32),
            "f0_hz": np.where(voiced, 150.0, np.nan).astype(np.float32),
            "voiced": voiced,
        }
    )


FRAMES = make_frames(6000)


def frames_of(reference: Mapping[str, Any]) -> pa.Table:
    return FRAMES.slice(reference["start"], reference["stop"] - reference["start"])


def arrays(document: Document) -> SimpleNamespace:
    """A document's columns as arrays, taken from the row it becomes."""
    row = Row()
    row.add(document)
    T = max(2, document.length)
    batch = row_batch([row], row_schema(T, "uint16"), T)
    fixed = {name: batch[name].flatten().to_numpy() for name in batch.schema.names[:7]}
    fixed["prosody"] = fixed["prosody"].reshape(T, 4)
    at = batch["audio_position"].flatten().to_numpy()
    audio = batch["audio"].flatten().flatten().to_numpy().reshape(-1, 640)
    origin, seconds = origin_batch([row]), np.full((T, 2), np.nan, np.float32)
    timed = origin["timed"].flatten().to_numpy()
    seconds[timed] = np.stack([origin["start"].flatten(), origin["end"].flatten()], 1)
    return SimpleNamespace(**fixed, audio_position=at, audio=audio, seconds=seconds)


@pytest.fixture(scope="session")
def utterances() -> list[dict[str, Any]]:
    return [make_utterance(f"{k // 5:032x}", k % 5, start=0.5 + 4 * (k % 5)) for k in range(15)]


@pytest.fixture(scope="session")
def tokenizer(utterances: list[dict[str, Any]]) -> Tokenizer:
    plain = train_tokenizer(SENTENCES * 3, TokenizerOptions(vocabulary_size=450))
    return plain.with_prosody_edges(learn_edges(utterances, 5))


@pytest.fixture(scope="session")
def tools(tokenizer: Tokenizer) -> Tools:
    return Tools(tokenizer, FeatureStatistics(), frames_of)
