"""What the stages made becomes one line an utterance, set against its speaker's average."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from nymph.features.assemble import Sources, assemble_utterances
from nymph.features.utterances import UTTERANCE_FEATURE_SCHEMA
from nymph.pipelines.sentiment.nodes import SCORE_SCHEMA
from nymph.sentiment.arousal import TrustOptions
from nymph.stages import Item, Made, Work
from nymph.stores.items import StoredItems, save_items
from nymph.stores.recordings import Recordings, save_recordings
from nymph.stores.utterances import Utterances, write_utterances
from nymph.transcription.segments import SEGMENT_SCHEMA

ENERGIES = (-30.0, -29.0, -31.0, -10.0)
WORD = {"word": "So.", "start": 0.0, "end": 0.5, "confidence": 0.9, "timing": "aligned"}
NEUTRAL = {"label": "neutral", "score": 0.8, "scores": [{"label": "neutral", "score": 0.8}]}


def prosody(energy: float) -> dict[str, Any]:
    return {"f0_mean_hz": None, "voiced_share": 0.0, "energy_db": energy, "rate_syllables_per_s": 0.0, "pause_share": 0}


def rows(recording: str, **columns: Any) -> list[dict[str, Any]]:
    values = zip(*columns.values(), strict=True)
    return [
        {"recording": recording, "index": i, **dict(zip(columns, row, strict=True))} for i, row in enumerate(values)
    ]


def stored(folder: Path, schema: pa.Schema, tables: dict[str, list[dict[str, Any]]]) -> StoredItems:
    items = [Item(name, "k") for name in tables]
    made = Work("stage", items, lambda missing: (Made(i, pa.Table.from_pylist(tables[i.id], schema)) for i in missing))
    save_items(folder, made)
    return StoredItems.open(folder)


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    """Two recordings of two utterances each by one person, and one without features."""
    found = [{"id": name, "unit": name, "kind": "speech", "source": f"{name}.wav"} for name in ("a", "b", "c")]
    items = [Item(row["id"], row["id"]) for row in found]
    lines = dict(zip(items, found, strict=True))
    save_recordings(tmp_path / "r", Work("ingestion", items, lambda missing: (Made(i, [lines[i]]) for i in missing)))
    said = {"kind": ["speech"] * 2, "start": [0.0, 1.0], "end": [0.5, 1.5], "text": ["So.", "So."]}
    said |= {"speaker": ["x", "x"], "words": [[WORD], [WORD]]}
    loud = {"a": ENERGIES[:2], "b": ENERGIES[2:]}
    features = {
        name: rows(name, prosody=[prosody(e) for e in energies], words=[[prosody(e)] for e in energies])
        for name, energies in loud.items()
    }
    scores = {name: [{"recording": name, "index": i, **NEUTRAL} for i in range(2)] for name in "ab"}
    return Sources(
        Recordings.open(tmp_path / "r"),
        stored(tmp_path / "t", SEGMENT_SCHEMA, {name: rows(name, **said) for name in "abc"}),
        stored(tmp_path / "f", UTTERANCE_FEATURE_SCHEMA, features),
        stored(tmp_path / "m", pa.schema([]), {}),
        stored(tmp_path / "s", SCORE_SCHEMA, scores),
        {("a", "x"): "Anna", ("b", "x"): "Anna"},
    )


def test_a_voice_is_compared_with_all_that_its_speaker_said(sources: Sources) -> None:
    *calm, loud = [u for u in assemble_utterances(sources, TrustOptions()) if u["recording"] != "c"]
    assert {u["speaker"] for u in (*calm, loud)} == {"Anna"}
    assert loud["prosody_z"]["energy_db"] > 1.5
    assert loud["prosody_z"]["f0_mean_hz"] is None
    assert loud["arousal"] > 0.8 > 0.5 > max(u["arousal"] for u in calm)


def test_neutral_words_in_an_agitated_voice_are_not_trusted(sources: Sources) -> None:
    *calm, loud = [
        u["sentiment"] for u in assemble_utterances(sources, TrustOptions(min_agreement=0.5)) if u["sentiment"]
    ]
    assert loud["agreement"] < 0.5
    assert not loud["trusted"]
    assert all(one["trusted"] for one in calm)


def test_a_speaker_of_few_words_has_no_arousal(sources: Sources) -> None:
    utterances = list(assemble_utterances(sources, TrustOptions(min_utterances=5)))
    assert {u["arousal"] for u in utterances} == {None}
    assert {u["prosody_z"] for u in utterances} == {None}


def test_a_word_carries_its_prosody_in_the_order_of_the_utterances(sources: Sources) -> None:
    first = next(assemble_utterances(sources, TrustOptions()))
    assert first["words"] == [{**WORD, "confidence": 0.9, "prosody": [None, None, None, 0.0, -30.0, 0.0, 0.0]}]


def test_what_a_stage_quarantined_is_absent_and_its_speaker_unlike_any_other(sources: Sources) -> None:
    *_, last = assemble_utterances(sources, TrustOptions())
    assert (last["recording"], last["prosody"], last["sentiment"], last["frames"]) == ("c", None, None, None)
    assert last["speaker"] not in {None, "Anna", "x"}


def test_what_is_written_is_valid_when_it_is_read(sources: Sources, tmp_path: Path) -> None:
    made = list(assemble_utterances(sources, TrustOptions()))
    write_utterances(tmp_path / "u.jsonl", made)
    assert list(Utterances(tmp_path / "u.jsonl")) == made
