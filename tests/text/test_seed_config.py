"""The first trainer's configuration file still works."""

import json
from pathlib import Path
from typing import Any

import pytest

from nymph.errors import NymphError
from nymph.text.seed_config import read_seed_config


def write(folder: Path, value: Any) -> Path:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(value))
    return path


def test_its_names_are_todays_options(tmp_path: Path) -> None:
    tokens = {"emotions": ["<happy>", "[sad]", "angry"], "punctuation": ["..."], "prosody": 7, "context": ["<turn>"]}
    options = read_seed_config(write(tmp_path, {"vocab_size": 5000, "min_frequency": 3, "special_tokens": tokens}))
    assert (options.vocabulary_size, options.minimum_frequency) == (5000, 3)
    assert options.special_tokens.sentiments == ("happy", "sad", "angry")
    assert options.special_tokens.punctuation == ("...",)
    assert options.special_tokens.prosody_bins == 7


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"vocab_siz": 1}, "did you mean 'vocab_size'"),
        ({"vocab_size": "big"}, "whole number"),
        ({"special_tokens": {"emotionz": []}}, "did you mean 'emotion"),
        ({"special_tokens": {"emotions": "happy"}}, "list of strings"),
        ([], "JSON object"),
    ],
)
def test_what_cannot_be_meant_is_named(tmp_path: Path, value: Any, message: str) -> None:
    with pytest.raises(NymphError, match=message):
        read_seed_config(write(tmp_path, value))
