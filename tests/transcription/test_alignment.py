import json

import numpy as np
import pytest

from nymph.errors import NymphError
from nymph.transcription.aligners import aligners
from nymph.transcription.config import TranscriptionConfig
from nymph.transcription.forced import EnglishAligner
from nymph.transcription.phones import guess_phones, plain
from nymph.transcription.schema import Word
from nymph.transcription.timing import spread_words

RATE = 16_000


@pytest.fixture(scope="module")
def aligner() -> EnglishAligner:
    return EnglishAligner()


def aligned(aligner, conversation: np.ndarray, start: float, end: float, text: str) -> list[Word]:
    return aligner.align(conversation[int(start * RATE) : int(end * RATE)], spread_words(text, end - start))


def test_a_sentence_is_found_inside_a_longer_stretch(aligner, conversation) -> None:
    text = "This is Diane in New Jersey. And I'm Sheila in Texas, originally from Chicago."
    words = aligned(aligner, conversation, 12.5, 17.9, text)
    assert 12.5 + words[5].end == pytest.approx(14.18, abs=0.15)  # the reference ends Diane's sentence here
    assert 12.5 + words[6].start == pytest.approx(14.44, abs=0.2)
    assert all(word.timing == "aligned" for word in words if word.word != "Sheila")


def test_what_was_heard_before_does_not_matter(conversation) -> None:
    """A feature extractor that remembers its last chunk moves the first word by a frame."""
    tired = EnglishAligner()
    sentence = (10.0, 20.0, "And I'm Sheila in Texas originally from Chicago")
    fresh = aligned(EnglishAligner(), conversation, *sentence)
    aligned(tired, conversation, 0.0, 10.0, "Hello hello I didn't know you were there neither did I")
    assert aligned(tired, conversation, *sentence) == fresh


def test_an_unknown_word_is_spelt_out_and_marked(aligner, conversation) -> None:
    this, _, dyan, *_ = aligned(aligner, conversation, 12.5, 14.3, "This is Dyaanh in New Jersey.")
    assert this.timing == "aligned"
    assert dyan.timing == "interpolated"


def test_a_word_without_sound_keeps_its_place(aligner, conversation) -> None:
    words = aligned(aligner, conversation, 12.5, 14.3, "This is – Diane in New Jersey.")
    assert [word.word for word in words] == ["This", "is", "–", "Diane", "in", "New", "Jersey."]


def test_what_cannot_be_aligned_keeps_its_times(aligner) -> None:
    words = spread_words("far too many words for so little sound", 0.1)
    assert aligner.align(np.zeros(1600, np.float32), words) == words


def test_words_are_spelt_for_the_dictionary() -> None:
    assert plain("“Don’t,”") == "don't"
    assert guess_phones("shift") == "SH IH F T"
    assert guess_phones("42") == "F AO R T UW"
    assert guess_phones("–") == ""


def test_other_languages_keep_whispers_times() -> None:
    aligner_of = aligners(TranscriptionConfig(), "cpu")
    assert aligner_of("de") is None
    assert isinstance(aligner_of("en"), EnglishAligner)


def test_a_missing_wav2vec_model_fails_before_any_work(monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(NymphError, match="expected a wav2vec2 CTC model, got '/nowhere'"):
        aligners(TranscriptionConfig(alignment="/nowhere", language="en"), "cpu")


@pytest.fixture(scope="module")
def wav2vec_folder(tmp_path_factory):
    from transformers import (
        Wav2Vec2Config,
        Wav2Vec2CTCTokenizer,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2ForCTC,
        Wav2Vec2Processor,
        set_seed,
    )

    folder = tmp_path_factory.mktemp("wav2vec")
    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ'"]
    (folder / "vocab.json").write_text(json.dumps({letter: i for i, letter in enumerate(letters)}))
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    Wav2Vec2Processor(Wav2Vec2FeatureExtractor(), tokenizer).save_pretrained(folder)
    config = Wav2Vec2Config(
        vocab_size=len(letters), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        conv_dim=(16,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    set_seed(0)
    Wav2Vec2ForCTC(config).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_whisperx_aligns_offline_with_any_wav2vec_folder(wav2vec_folder, conversation) -> None:
    aligner = aligners(TranscriptionConfig(alignment=str(wav2vec_folder), language="en"), "cpu")("en")
    words = aligned(aligner, conversation, 12.5, 14.3, "This is Diane. In New Jersey.")
    assert [word.word for word in words] == ["This", "is", "Diane.", "In", "New", "Jersey."]
    assert all(0 <= word.start <= word.end <= 1.81 and word.timing == "aligned" for word in words)
