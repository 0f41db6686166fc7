"""Everything known of each utterance, joined unit by unit so that memory holds one recording at a time.

The corpus is read twice: first only for each speaker's average prosody, against which the second reading sets every
utterance. So what an utterance sounds like depends on all that its speaker said anywhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nymph.audio.prosody import Prosody, ProsodyAverage
from nymph.sentiment.arousal import TrustOptions, agreement, arousal, is_trusted
from nymph.stores.items import StoredItems
from nymph.stores.recordings import Recordings
from nymph.stores.speakers import founder_name
from nymph.stores.utterances import SCHEMA_VERSION

Utterance = dict[str, Any]
Row = dict[str, Any]
_CARRIED = ("recording", "index", "kind", "role", "text", "language", "start", "end")


@dataclass(frozen=True)
class Sources:
    """What the stages made; units that a stage quarantined lack that stage's fields."""

    recordings: Recordings
    transcripts: StoredItems
    features: StoredItems
    frames: StoredItems
    scores: StoredItems
    speakers: Mapping[tuple[str, str], str]
    """(recording, label) -> speaker across recordings."""

    def speaker_of(self, segment: Row) -> str | None:
        """Who says a segment; somebody of the recording alone where no voice was heard to compare."""
        place = (segment["recording"], segment["speaker"])
        return None if place[1] is None else self.speakers.get(place) or founder_name(*place)


def assemble_utterances(sources: Sources, trust: TrustOptions) -> Iterator[Utterance]:
    """Utterances in the order of their recordings."""
    averages = _averages(sources)
    for unit, rows in sources.recordings.units().items():
        if unit not in sources.transcripts:
            continue
        origin = {row["id"]: row for row in rows}
        described, judged = _by_place(sources.features, unit), _by_place(sources.scores, unit)
        file = sources.frames.path(unit).name if unit in sources.frames else None
        for segment in sources.transcripts.read(unit).to_pylist():
            place, speaker = (segment["recording"], segment["index"]), sources.speaker_of(segment)
            said = described.get(place, {})
            voice = _voice(said.get("prosody"), averages.get(_voice_of(segment, speaker)), trust)
            yield {
                "schema": SCHEMA_VERSION,
                "id": f"{segment['recording']}:{segment['index']}",
                **{name: segment[name] for name in _CARRIED},
                "source": origin[segment["recording"]]["source"],
                "line": origin[segment["recording"]]["line"],
                "words": _words(segment["words"] or [], said.get("words") or []),
                "confidence": _round(segment["confidence"]),
                "speaker": speaker,
                "speaker_vector": [round(value, 5) for value in said.get("speaker_vector") or []] or None,
                **voice,
                "sentiment": _sentiment(judged.get(place), voice["arousal"], trust),
                "frames": _frames(said, file),
            }


def _averages(sources: Sources) -> dict[str, ProsodyAverage]:
    """Every voice's average over the corpus; memory grows with voices."""
    averages: dict[str, ProsodyAverage] = {}
    for unit in sources.features:
        described = _by_place(sources.features, unit, ["recording", "index", "prosody"])
        columns = ["recording", "index", "speaker"]
        for segment in sources.transcripts.read(unit, columns).to_pylist() if unit in sources.transcripts else []:
            prosody = described.get((segment["recording"], segment["index"]), {}).get("prosody")
            if prosody:
                voice = _voice_of(segment, sources.speaker_of(segment))
                averages.setdefault(voice, ProsodyAverage()).add(prosody)
    return averages


def _voice_of(segment: Row, speaker: str | None) -> str:
    """Whose average a segment is compared with: where nobody asked who speaks, its recording is one voice."""
    return speaker or str(segment["recording"])


def _by_place(items: StoredItems, unit: str, columns: list[str] | None = None) -> dict[tuple[str, int], Row]:
    rows = items.read(unit, columns).to_pylist() if unit in items else []
    return {(row["recording"], row["index"]): row for row in rows}


def _voice(prosody: Row | None, average: ProsodyAverage | None, trust: TrustOptions) -> dict[str, Any]:
    """Prosody, how far it lies from the speaker's average, and what that says of arousal."""
    if prosody is None:
        return {"prosody": None, "prosody_z": None, "arousal": None}
    known = average is not None and average.spans >= trust.min_utterances
    z_scores = average.z_scores(prosody) if average is not None and known else None
    return {
        "prosody": _rounded(prosody),
        "prosody_z": _rounded(z_scores) if z_scores else None,
        "arousal": _round(arousal(z_scores)) if z_scores else None,
    }


def _words(words: Sequence[Row], prosody: Sequence[Row | None]) -> list[Row]:
    """Words, each with its prosody as numbers in the order of `Prosody`'s fields."""
    padded = [*prosody, *[None] * (len(words) - len(prosody))]
    return [{**_rounded(word), "prosody": _compact(found)} for word, found in zip(words, padded, strict=True)]


def _compact(prosody: Row | None) -> list[float | None] | None:
    return [_round(prosody[name], 2) for name in Prosody.__dataclass_fields__] if prosody else None


def _sentiment(judged: Row | None, voice: float | None, trust: TrustOptions) -> dict[str, Any] | None:
    if judged is None or judged["label"] is None:
        return None
    scores = {entry["label"]: entry["score"] for entry in judged["scores"]}
    agreed = agreement(scores, voice)
    return {
        "label": judged["label"],
        "score": _round(judged["score"]),
        "scores": _rounded(scores),
        "agreement": _round(agreed),
        "trusted": is_trusted(judged["score"], agreed, trust),
    }


def _frames(described: Row, file: str | None) -> dict[str, Any] | None:
    if file is None or described.get("frame_start") is None:
        return None
    return {"file": file, "start": described["frame_start"], "stop": described["frame_stop"]}


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _round(value) for name, value in values.items()}


def _round(value: Any, digits: int = 4) -> Any:
    """Floats to a ten-thousandth; what is not a finite number is absent."""
    if not isinstance(value, float):
        return value
    return round(value, digits) if value - value == 0 else None
