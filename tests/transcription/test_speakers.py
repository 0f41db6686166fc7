from collections.abc import Iterable, Iterator

import numpy as np

from nymph.transcription.schema import Utterance, Word
from nymph.transcription.speakers import SpeakerRegistry, VoiceDiarizer, cluster_voices


def voice(direction: int, wobble: float = 0.0) -> np.ndarray:
    vector = np.zeros(256, np.float32)
    vector[[direction, direction + 1]] = np.cos(wobble), np.sin(wobble)
    return vector


def said(start: float, end: float) -> Utterance:
    return Utterance((Word("hm", start, end, None, "none"),), "en")


class ByLevel:
    """An encoder to whom loud and quiet speech are two people."""

    def embed_many(self, parts: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        return (voice(0 if np.abs(samples).mean() > 0.5 else 10) for samples in parts)


def test_voices_far_apart_are_two_people() -> None:
    vectors = np.stack([voice(0), voice(10), voice(0, 0.2), voice(10, 0.2)])
    labels = cluster_voices(vectors, np.full(4, 2.0), 0.28)
    assert labels[0] == labels[2] != labels[1] == labels[3]


def test_a_short_utterance_founds_no_speaker() -> None:
    vectors = np.stack([voice(0), voice(10), voice(0, 1.4)])
    labels = cluster_voices(vectors, np.array([2.0, 2.0, 0.4]), 0.28)
    assert labels[2] == labels[0]
    assert len(set(labels.tolist())) == 2


def test_one_short_utterance_alone_is_somebody() -> None:
    assert cluster_voices(voice(0)[None], np.array([0.3]), 0.28).size == 1


def test_speakers_keep_their_names_in_later_blocks() -> None:
    loud, quiet = np.ones(32_000, np.float32), np.full(32_000, 0.1, np.float32)
    diarizer = VoiceDiarizer(ByLevel(), SpeakerRegistry(0.28), 0.28)
    first = diarizer.assign(np.concatenate([loud, quiet]), [said(0, 2), said(2, 4)])
    second = diarizer.assign(np.concatenate([quiet, loud]), [said(0, 2), said(2, 4)])
    assert [u.speaker for u in first] == ["speaker-1", "speaker-2"]
    assert [u.speaker for u in second] == ["speaker-2", "speaker-1"]


def test_two_clusters_of_a_block_are_never_one_speaker() -> None:
    registry = SpeakerRegistry(0.5)
    one = registry.identify(voice(0), 5)
    assert registry.identify(voice(0, 0.1), 5, others=[one]) != one
    assert registry.identify(voice(0, 0.1), 5) in {"speaker-1", "speaker-2"}


def test_a_registry_knows_whom_it_was_told_of() -> None:
    registry = SpeakerRegistry(0.28)
    registry.add("Anna", voice(0), 4)
    registry.add("Bert", voice(10), 2)
    registry.add("Carl", None, 0)
    assert "Carl" in registry
    assert registry.identify(voice(10, 0.1), 1) == "Bert"
    assert registry.identify(voice(30), 1, name="Dora") == "Dora"
