"""The picture of a document shows its words over their sound."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nymph.sequences.inspect import RowView, first_rows
from nymph.sequences.mix import MixOptions
from nymph.sequences.picture import figure_of, picture_of
from nymph.sequences.tasks import TASKS
from nymph.text.tokenizer import Tokenizer

from .conftest import make_utterance
from .test_preparation import corpus_of


def rows_of(utterance: dict[str, Any], tokenizer: Tokenizer, folder: Path) -> list[RowView]:
    mix = MixOptions({name: TASKS[name] for name in ("continue", "transcribe", "interleave")})
    corpus_of([utterance], tokenizer, mix=mix, context_length=512).write("train", folder)
    return first_rows(folder, tokenizer, 4)


def test_every_word_stands_over_its_own_sound(tokenizer: Tokenizer, tmp_path: Path) -> None:
    utterance = make_utterance("r", 0)
    (axes,) = figure_of(rows_of(utterance, tokenizer, tmp_path)).axes
    labels = [(label.get_text().strip(), label.get_position()[0]) for label in axes.texts]
    assert [text for text, _ in labels] == utterance["text"].split()
    for (_, at), word in zip(labels, utterance["words"], strict=True):
        assert at == pytest.approx((word["start"] + word["end"]) / 2 - utterance["start"], abs=0.08)


def test_the_same_rows_give_the_same_png(tokenizer: Tokenizer, tmp_path: Path) -> None:
    rows = rows_of(make_utterance("r", 0), tokenizer, tmp_path)
    assert picture_of(rows) == picture_of(rows)
    assert picture_of(rows).startswith(b"\x89PNG")


def test_rows_without_sound_say_so(tokenizer: Tokenizer, tmp_path: Path) -> None:
    rows = rows_of(make_utterance("r", 0) | {"frames": None}, tokenizer, tmp_path)
    (axes,) = figure_of(rows).axes
    assert axes.get_title() == "no sound in the first training rows"
    assert not np.any(axes.images)
