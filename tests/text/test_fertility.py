"""The fertility report counts what is there and opens no connection."""

import socket

import pytest

from nymph.errors import NymphError
from nymph.text.fertility import fertility
from nymph.text.tokenizer import Tokenizer, TokenizerOptions, train_tokenizer

TEXT = "the cat sat on the mat"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer([TEXT] * 10, TokenizerOptions(vocabulary_size=500))


def test_the_figures_are_those_of_the_ids(tokenizer: Tokenizer) -> None:
    report = fertility(tokenizer, [TEXT, TEXT])
    count = len(tokenizer.encode(TEXT))
    assert report["bytes_per_token"] == pytest.approx(len(TEXT) / count, abs=1e-4)
    assert report["tokens_per_word"] == pytest.approx(count / 6, abs=1e-4)
    assert report["byte_share"] == 0


def test_letters_that_were_never_seen_are_spelt_in_bytes(tokenizer: Tokenizer) -> None:
    assert fertility(tokenizer, ["\u65e5\u672c"])["byte_share"] == 1


def test_without_a_cache_no_peer_is_asked_for(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection was opened"))
    assert fertility(tokenizer, [TEXT])["peers_bytes_per_token"] == {"gpt2": None, "gpt4": None}


def test_an_empty_corpus_is_an_error(tokenizer: Tokenizer) -> None:
    with pytest.raises(NymphError, match="no text to measure"):
        fertility(tokenizer, [])
