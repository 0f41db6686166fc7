from dataclasses import replace

import numpy as np
import pytest

from nymph.errors import NymphError
from nymph.transcription.config import TranscriptionConfig
from nymph.transcription.engine import _pieces, load_transcriber
from nymph.transcription.schema import TRANSCRIPT_SCHEMA
from nymph.transcription.scoring import word_error_rate


@pytest.fixture(scope="module")
def table(transcriber, conversation):
    return transcriber.transcribe(conversation)


@pytest.mark.slow
def test_a_conversation_becomes_utterances(table) -> None:
    text = " ".join(table["text"].to_pylist())
    assert table.schema == TRANSCRIPT_SCHEMA
    assert table.num_rows >= 10
    assert "originally from Chicago" in text
    assert set(table["language"].to_pylist()) == {"en"}


@pytest.mark.slow
def test_words_follow_each_other_within_the_recording(table) -> None:
    words = [word for row in table["words"].to_pylist() for word in row]
    starts = [word["start"] for word in words]
    assert starts == sorted(starts)
    assert all(0 <= word["start"] <= word["end"] <= 30.0 for word in words)
    assert all(0 <= word["confidence"] <= 1 for word in words)


@pytest.mark.slow
def test_a_known_word_is_where_it_was_said(table) -> None:
    (diane,) = [word for row in table["words"].to_pylist() for word in row if word["word"] == "Diane"]
    assert diane["start"] == pytest.approx(13.0, abs=0.3)  # "This is Diane in New Jersey" is 12.54 to 14.18


@pytest.mark.slow
def test_silence_has_no_utterances(transcriber) -> None:
    assert transcriber.transcribe(np.zeros(16_000 * 4, np.float32)).num_rows == 0


def test_samples_of_a_wrong_type_are_refused() -> None:
    with pytest.raises(NymphError, match="expected mono float32"):
        list(_pieces(np.zeros((2, 100))))


@pytest.mark.slow
def test_two_people_are_told_apart(table) -> None:
    by_text = {row["text"]: row["speaker"] for row in table.to_pylist()}
    diane = next(name for text, name in by_text.items() if "Diane" in text)
    sheila = next(name for text, name in by_text.items() if "Sheila" in text)
    assert diane != sheila


@pytest.mark.slow
def test_a_long_recording_equals_its_parts(transcriber, conversation) -> None:
    pieces = np.array_split(np.tile(conversation, 3), 17)
    blockwise = replace(transcriber, config=transcriber.config.model_copy(update={"block_s": 60.0}))
    table = blockwise.transcribe(iter(pieces))
    starts = table["start"].to_pylist()
    assert starts == sorted(starts)
    assert starts[-1] > 80
    assert sum("Texas" in text for text in table["text"].to_pylist()) == 3


@pytest.mark.slow
def test_whisperx_own_vad_hears_the_same(conversation, table) -> None:
    config = TranscriptionConfig(threads=1, vad="pyannote", alignment="none", speakers="none")
    said = " ".join(load_transcriber(config).transcribe(conversation)["text"].to_pylist())
    assert word_error_rate([said], [" ".join(table["text"].to_pylist())]) < 0.15


def test_a_card_that_is_not_there_is_one_clear_error(monkeypatch) -> None:
    monkeypatch.setattr("ctranslate2.get_cuda_device_count", lambda: 0)
    with pytest.raises(NymphError, match="expected a CUDA device for transcription, found none"):
        load_transcriber(TranscriptionConfig(device="cuda"))
