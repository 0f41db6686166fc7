"""Normalising makes any string encodable text, once and for all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nymph.errors import NymphError
from nymph.text.normalisation import NormalisationOptions, normalise


@given(st.text(st.characters(exclude_categories=[])))
def test_whatever_comes_out_is_utf_8_and_stays_as_it_is(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert once.encode().decode() == once


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("e\u0301", "\u00e9"),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("\ufeffa\x00b\tc", "ab\tc"),
        ("x\ud800y", "x\ufffdy"),
        ("\ufb01 \u00b2", "\ufb01 \u00b2"),
    ],
)
def test_characters_are_made_regular(text: str, expected: str) -> None:
    assert normalise(text) == expected


def test_nfkc_unfolds_ligatures() -> None:
    assert normalise("\ufb01", NormalisationOptions(form="NFKC")) == "fi"


def test_a_lone_surrogate_can_be_refused() -> None:
    with pytest.raises(NymphError, match="character 1"):
        normalise("x\ud800", NormalisationOptions(surrogates="refuse"))
