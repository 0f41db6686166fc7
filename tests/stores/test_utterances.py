"""Every line of utterances.jsonl is checked as it is read, and an error says where and which field."""

import json
from pathlib import Path
from typing import Any

import pytest

from nymph.errors import NymphError
from nymph.stores.utterances import Utterances, parse_utterance, write_utterances

TEXT = {"schema": 2, "id": "r:0", "recording": "r", "index": 0, "kind": "text", "source": "a.txt", "text": "Hello."}
SPEECH = {
    **TEXT,
    "kind": "speech",
    "start": 0.5,
    "end": 1,
    "words": [{"word": "Hello.", "start": 0.5, "end": 1.0, "timing": "aligned", "prosody": [120.0] + [None] * 6}],
    "speaker_vector": [0.0625] * 256,
    "sentiment": {"label": "neutral", "score": 0.9, "scores": {"neutral": 0.9}, "agreement": None, "trusted": True},
    "frames": {"file": "r.k.parquet", "start": 50, "stop": 100},
}


def parse(utterance: dict[str, Any]) -> dict[str, Any]:
    return parse_utterance(json.dumps(utterance).encode(), "utterances.jsonl:7")


@pytest.mark.parametrize("utterance", [TEXT, SPEECH, {**TEXT, "image": "cat.png"}])
def test_a_good_line_is_what_was_written(utterance: dict[str, Any]) -> None:
    assert parse(utterance) == utterance


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 1}, r"schema 2, got 1; run `kedro run --pipelines sentiment`"),
        ({"text": None}, r"text: .*string"),
        ({"kind": "song"}, r"kind: .*'speech', 'text' or 'chat'.*'song'"),
        ({"speaker_vector": [1.0]}, r"speaker_vector: .*256"),
        ({"words": [{"word": "Hello.", "start": "soon", "end": 1.0}]}, r"words\.0\.start: .*number.*'soon'"),
        ({"sentiment": {"label": "neutral", "score": 1.5}}, r"sentiment\.score: .*less than or equal to 1"),
        ({"frames": {"file": "../../etc/passwd", "start": 0, "stop": 1}}, r"frames\.file: "),
    ],
)
def test_a_bad_field_is_named_with_its_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(NymphError, match=rf"utterances\.jsonl:7: .*{message}"):
        parse({**SPEECH, **change})


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b'"text"'])
def test_what_is_no_object_is_refused(line: bytes) -> None:
    with pytest.raises(NymphError, match="there:1: expected a JSON object"):
        parse_utterance(line, "there:1")


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    again = {**SPEECH, "id": "r:1", "index": 1}
    write_utterances(tmp_path / "u.jsonl", [TEXT, again])
    assert list(Utterances(tmp_path / "u.jsonl")) == [TEXT, again]


@pytest.mark.parametrize("places", [("r:0", "r:0"), ("r:1", "r:0"), ("r:0", "q:0", "r:1")])
def test_an_utterance_that_comes_twice_is_refused(tmp_path: Path, places: tuple[str, ...]) -> None:
    lines = [{**TEXT, "id": place, "recording": place[0], "index": int(place[2])} for place in places]
    write_utterances(tmp_path / "u.jsonl", lines)
    with pytest.raises(NymphError, match=rf"u\.jsonl:{len(places)}: expected the utterances of a recording together"):
        list(Utterances(tmp_path / "u.jsonl"))
