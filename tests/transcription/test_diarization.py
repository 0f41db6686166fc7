import numpy as np
import pandas as pd
import pytest

from nymph.errors import NymphError
from nymph.transcription.config import TranscriptionConfig
from nymph.transcription.diarization import PyannoteDiarizer, diarizers, load_pyannote
from nymph.transcription.schema import Utterance, Word
from nymph.transcription.speakers import SpeakerRegistry


def pipeline(block: np.ndarray, return_embeddings: bool):
    turns = pd.DataFrame({"start": [0.0, 1.0], "end": [1.0, 2.0], "speaker": ["A", "B"]})
    return turns, {"A": np.eye(256)[0], "B": np.eye(256)[9]}


def test_an_utterance_is_cut_where_the_speaker_changes() -> None:
    words = tuple(Word(word, i * 0.5, i * 0.5 + 0.5, None, "aligned") for i, word in enumerate(["a", "b", "c", "d"]))
    diarizer = PyannoteDiarizer(pipeline, SpeakerRegistry(0.3))
    parts = diarizer.assign(np.zeros(32_000, np.float32), [Utterance(words, "en")])
    assert [(part.text, part.speaker) for part in parts] == [("a b", "speaker-1"), ("c d", "speaker-2")]


def test_a_word_outside_all_turns_has_no_speaker() -> None:
    diarizer = PyannoteDiarizer(pipeline, SpeakerRegistry(0.3))
    (part,) = diarizer.assign(np.zeros(32_000, np.float32), [Utterance((Word("x", 5, 6, None, "aligned"),), "en")])
    assert part.speaker is None


def test_a_gated_model_that_is_not_there_names_the_page(monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(NymphError, match=r"https://hf\.co/pyannote/nowhere, set HF_TOKEN \(now not set\)"):
        load_pyannote("pyannote/nowhere", "cpu")


def test_nobody_asks() -> None:
    assert diarizers(TranscriptionConfig(speakers="none"), "cpu")() is None
