"""The parquet stage's parameters: tasks are configuration, and the shipped configuration is what the code documents."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from nymph.pipelines.parquet.options import ParquetOptions
from nymph.sequences.documents import build_documents
from nymph.sequences.streams import Tools
from nymph.sequences.tasks import TASKS
from tests.sequences.conftest import make_utterance, tokenizer, tools, utterances  # noqa: F401

SHIPPED = Path(__file__).parents[2] / "conf" / "base" / "parameters" / "parquet.yml"


@pytest.fixture
def shipped() -> dict[str, Any]:
    return yaml.safe_load(SHIPPED.read_text())["parquet"]


def test_the_shipped_tasks_are_those_of_the_code(shipped: dict[str, Any]) -> None:
    tasks = ParquetOptions.model_validate(shipped).mix.tasks
    assert list(tasks.items()) == list(TASKS.items())


def test_a_new_task_is_a_line_of_configuration(shipped: dict[str, Any], tools: Tools) -> None:  # noqa: F811
    shipped["mix"]["tasks"] = {"name_the_language": {"conditions": ["audio"], "targets": ["language"]}}
    mix = ParquetOptions.model_validate(shipped).mix
    (document,) = build_documents([make_utterance("r", 0)], tools, mix, 1000)
    shown = tools.tokenizer.decode(token for segment in document.segments for token in segment.tokens)
    assert shown.startswith("<|task|>name the language<|audio_start|>")
    assert shown.endswith("<|audio_end|><|language:en|><|end_of_document|>")
