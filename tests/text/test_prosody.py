"""Prosody bins are quantiles of the corpus; what is absent gives no token."""

import pytest

from nymph.text.prosody import learn_edges, prosody_ids
from nymph.text.tokenizer import Tokenizer, train_tokenizer


def prosody(pitch: float | None) -> dict:
    return {"f0_mean_hz": pitch, "energy_db": -30.0, "rate_syllables_per_s": None}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    edges = learn_edges(({"prosody": prosody(100.0 + k)} for k in range(100)), 5)
    return train_tokenizer(["a few words"] * 3).with_prosody_edges(edges)


def names(tokenizer: Tokenizer, value: dict | None) -> list[str]:
    return [tokenizer.decode([index]) for index in prosody_ids(value, tokenizer)]


def test_the_edges_cut_the_corpus_into_equal_parts(tokenizer: Tokenizer) -> None:
    assert tokenizer.extras.prosody_edges["pitch"] == pytest.approx((119.8, 139.6, 159.4, 179.2))


def test_a_value_is_its_bin(tokenizer: Tokenizer) -> None:
    assert names(tokenizer, prosody(50.0))[0] == "<|pitch:0|>"
    assert names(tokenizer, prosody(150.0))[0] == "<|pitch:2|>"
    assert names(tokenizer, prosody(900.0))[0] == "<|pitch:4|>"


def test_what_is_absent_has_no_token(tokenizer: Tokenizer) -> None:
    assert names(tokenizer, prosody(None)) == ["<|energy:4|>"]
    assert names(tokenizer, prosody(float("nan"))) == ["<|energy:4|>"]
    assert names(tokenizer, None) == []
