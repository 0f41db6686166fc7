"""Labels within recordings become people across them, and stay who they are."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from nymph.errors import NymphError
from nymph.features.speakers import SpeakerUpdate, Voice, voices
from nymph.parquet import read_parquet
from nymph.stores.speakers import Speakers, write_speakers

ANNA, BERT, CARL = 0, 10, 20
Corpus = dict[str, list[Voice]]


def voice(label: str, person: int, wobble: float = 0.1, seconds: float = 9.0) -> Voice:
    vector = np.zeros(256, np.float32)
    vector[[person, person + 1]] = np.cos(wobble), np.sin(wobble)
    return Voice(label, seconds, vector)


def save(path: Path, corpus: Corpus, key: str = "1") -> dict[tuple[str, str], str]:
    write_speakers(path, SpeakerUpdate(dict.fromkeys(corpus, key), corpus.__getitem__, 0.25))
    return Speakers.open(path).names()


def test_a_voice_is_one_person_in_two_recordings(tmp_path: Path) -> None:
    monday = [voice("speaker-1", ANNA), voice("speaker-2", BERT)]
    tuesday = [voice("speaker-1", BERT, 0.2), voice("speaker-2", CARL)]
    names = save(tmp_path / "s", {"a": monday, "b": tuesday})
    assert names["a", "speaker-2"] == names["b", "speaker-1"]
    assert len(set(names.values())) == 3


def test_two_labels_of_a_recording_are_never_one_person(tmp_path: Path) -> None:
    names = save(tmp_path / "s", {"a": [voice("speaker-1", ANNA), voice("speaker-2", ANNA, 0.2)]})
    assert len(set(names.values())) == 2


def test_the_order_of_recordings_does_not_matter(tmp_path: Path) -> None:
    corpus = {name: [voice("x", ANNA, wobble)] for name, wobble in zip("abcd", (0.0, 0.6, 1.2, 0.3), strict=True)}
    names = save(tmp_path / "one", corpus)
    assert save(tmp_path / "two", dict(reversed(corpus.items()))) == names
    assert 1 < len(set(names.values())) < 4


def test_a_recording_added_later_renames_nobody(tmp_path: Path) -> None:
    corpus = {"m": [voice("x", ANNA)], "n": [voice("x", BERT)]}
    before = save(tmp_path / "s", corpus)
    after = save(tmp_path / "s", {"a": [voice("y", BERT, 0.2), voice("z", CARL)], **corpus})
    assert {place: after[place] for place in before} == before
    assert after["a", "y"] == before["n", "x"]


def test_a_recording_that_left_or_changed_takes_its_voices_along(tmp_path: Path) -> None:
    save(tmp_path / "s", {"a": [voice("x", ANNA)], "b": [voice("x", ANNA)], "c": [voice("x", BERT)]})
    changed = {"a": [voice("x", CARL)], "b": [voice("x", ANNA)]}
    write_speakers(tmp_path / "s", SpeakerUpdate({"a": "2", "b": "1"}, changed.__getitem__, 0.25))
    names = Speakers.open(tmp_path / "s").names()
    assert set(names) == {("a", "x"), ("b", "x")}
    assert names["a", "x"] != names["b", "x"], "the name that a's old voice founded is b's alone now"


def test_a_voice_too_short_for_a_vector_is_somebody_of_its_own(tmp_path: Path) -> None:
    names = save(tmp_path / "s", {"a": [voice("x", ANNA)], "b": [Voice("x", 0.0, None)]})
    assert len(set(names.values())) == 2
    assert save(tmp_path / "s", {"a": [voice("x", ANNA)], "b": [Voice("x", 0.0, None)]}) == names


def test_a_damaged_table_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    save(tmp_path / "s", {"a": [voice("x", ANNA)]})
    (tmp_path / "s").write_bytes(b"PAR1 no more")
    with pytest.raises(NymphError, match="expected a whole Parquet file"):
        save(tmp_path / "s", {"a": [voice("x", ANNA)]})
    assert (tmp_path / "s").read_bytes() == b"PAR1 no more"


def test_the_vector_of_a_voice_is_the_mean_over_its_seconds() -> None:
    one, two = (voice("x", person, 0.0).vector for person in (ANNA, BERT))
    said = {"index": [0, 1, 2], "start": [0.0, 3.0, 4.0], "end": [3.0, 4.0, 4.2], "speaker": ["x", "x", "y"]}
    schema = pa.schema([("index", pa.int64()), ("speaker_vector", pa.list_(pa.float32()))])
    features = pa.Table.from_pylist(
        [{"index": 1, "speaker_vector": two}, {"index": 0, "speaker_vector": one}, {"index": 2}], schema
    )
    found, unheard = voices(pa.table(said), features)
    assert (found.label, found.seconds, unheard.vector) == ("x", 4.0, None)
    np.testing.assert_allclose(found.vector, 0.75 * one + 0.25 * two)


def test_what_is_kept_of_a_voice_is_its_mean(tmp_path: Path) -> None:
    save(tmp_path / "s", {"a": [voice("x", ANNA)]})
    (row,) = read_parquet(tmp_path / "s").to_pylist()
    assert (row["seconds"], len(row["vector"])) == (9.0, 256)
