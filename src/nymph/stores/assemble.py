"""Everything known of each utterance, joined unit by unit so that memory holds one recording at a time."""

from collections.abc import Iterator
from typing import Any

from nymph.stores.items import StoredItems
from nymph.stores.recordings import Recordings
from nymph.stores.utterances import SCHEMA_VERSION

Utterance = dict[str, Any]


def assemble_utterances(
    recordings: Recordings, transcripts: StoredItems, features: StoredItems, frames: StoredItems, scores: StoredItems
) -> Iterator[Utterance]:
    """Utterances in the order of their recordings; units that a stage quarantined lack that stage's fields."""
    for unit, rows in recordings.units().items():
        if unit not in transcripts:
            continue
        sources = {row["id"]: row for row in rows}
        described = _by_index(features, unit)
        judged = _by_index(scores, unit)
        file = frames.path(unit).name if unit in frames else None
        for segment in transcripts.read(unit).to_pylist():
            place = (segment["recording"], segment["index"])
            yield _utterance(segment, sources[segment["recording"]], described.get(place), judged.get(place), file)


def _by_index(items: StoredItems, unit: str) -> dict[tuple[str, int], dict[str, Any]]:
    rows = items.read(unit).to_pylist() if unit in items else []
    return {(row["recording"], row["index"]): row for row in rows}


def _utterance(
    segment: dict[str, Any],
    source: dict[str, Any],
    described: dict[str, Any] | None,
    judged: dict[str, Any] | None,
    frames_file: str | None,
) -> Utterance:
    described = described or {}
    return {
        "schema": SCHEMA_VERSION,
        "id": f"{segment['recording']}:{segment['index']}",
        **{name: segment[name] for name in ("recording", "index", "kind", "role", "text", "language", "start", "end")},
        "source": source["source"],
        "line": source["line"],
        "words": [_rounded(word) for word in segment["words"] or []],
        "confidence": _round(segment["confidence"]),
        "speaker": segment["speaker"],
        "speaker_vector": [round(value, 5) for value in described.get("speaker_vector") or []] or None,
        "prosody": _rounded(described["prosody"]) if described.get("prosody") else None,
        "sentiment": _sentiment(judged),
        "frames": _frames(described, frames_file),
    }


def _sentiment(judged: dict[str, Any] | None) -> dict[str, Any] | None:
    if judged is None or judged["label"] is None:
        return None
    scores = {entry["label"]: _round(entry["score"]) for entry in judged["scores"]}
    return {"label": judged["label"], "score": _round(judged["score"]), "scores": scores}


def _frames(described: dict[str, Any], file: str | None) -> dict[str, Any] | None:
    if file is None or described.get("frame_start") is None:
        return None
    return {"file": file, "start": described["frame_start"], "stop": described["frame_stop"]}


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _round(value) for name, value in values.items()}


def _round(value: Any) -> Any:
    """Floats to a ten-thousandth; what is not a finite number is absent."""
    if not isinstance(value, float):
        return value
    return round(value, 4) if value - value == 0 else None
