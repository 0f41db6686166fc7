"""Special tokens are declared once, and wrong declarations say what is wrong."""

import pytest

from nymph.errors import NymphError
from nymph.text.vocabulary import PADDING, SpecialTokens, canonical_role, role_token


def test_padding_is_zero_and_no_token_is_named_twice() -> None:
    tokens = SpecialTokens().control_tokens()
    assert tokens[0] == PADDING
    assert len(set(tokens)) == len(tokens)


@pytest.mark.parametrize(
    ("alias", "role"), [("prompter", "user"), ("Human", "user"), ("ai", "assistant"), ("bot", "assistant")]
)
def test_an_alias_is_its_role(alias: str, role: str) -> None:
    assert canonical_role(alias) == role
    assert role_token(alias) == f"<|{role}|>"


def test_an_unknown_role_names_the_nearest() -> None:
    with pytest.raises(NymphError, match="did you mean 'system'"):
        canonical_role("sytem")


def test_a_sentiment_models_label_without_a_token_is_an_error() -> None:
    SpecialTokens().check_sentiment_labels(["negative", "positive"])
    with pytest.raises(NymphError, match="'joy'"):
        SpecialTokens().check_sentiment_labels(["negative", "joy"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sentiments": ("good", "good")}, "different names"),
        ({"sentiments": ("<bad>",)}, "without '<'"),
        ({"punctuation": ("..", "...")}, "beginning of"),
        ({"punctuation": ("\u00a1",)}, "names a byte"),
        ({"punctuation": ("<|user",)}, "visible mark"),
        ({"prosody_bins": 1}, "2 to 32"),
    ],
)
def test_a_wrong_declaration_is_named(fields: dict, message: str) -> None:
    with pytest.raises(NymphError, match=message):
        SpecialTokens(**fields)
