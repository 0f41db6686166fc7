"""One template: what a chat trains as, what opens an answer, and what `transformers` makes of it have the same ids."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nymph.sequences.documents import build_documents
from nymph.sequences.mix import MixOptions
from nymph.sequences.streams import Tools
from nymph.sequences.tasks import TASKS
from nymph.text.chat import Message, render
from nymph.text.tokenizer import Tokenizer
from nymph.text.vocabulary import END_OF_DOCUMENT

SAID = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: "<|" not in text)
TURNS = st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), SAID), min_size=1, max_size=5)
Turns = list[tuple[str, str]]


@pytest.fixture(scope="module")
def theirs(tokenizer: Tokenizer) -> Any:
    return tokenizer.to_transformers()


def trained_ids(turns: Turns, tools: Tools) -> list[int]:
    """The tokens of a chat's row."""
    chat = {"recording": "c", "kind": "chat", "source": "chat/a.jsonl"}
    utterances = [{**chat, "id": f"c:{k}", "role": role, "text": text} for k, (role, text) in enumerate(turns)]
    (document,) = build_documents(utterances, tools, MixOptions({"converse": TASKS["converse"]}), 10_000)
    return [int(token) for segment in document.segments for token in segment.tokens]


@given(TURNS)
@settings(deadline=None)
def test_training_chat_and_transformers_have_the_same_ids(tools: Tools, theirs: Any, turns: Turns) -> None:
    expected = render([Message(*turn) for turn in turns], tools.tokenizer)
    assert trained_ids(turns, tools) == [*expected, tools.tokenizer.id(END_OF_DOCUMENT)]
    assert theirs.apply_chat_template([{"role": role, "content": text} for role, text in turns]) == expected


@given(TURNS)
@settings(deadline=None)
def test_an_answer_is_opened_as_it_was_trained(tools: Tools, theirs: Any, turns: Turns) -> None:
    answered = [*turns, ("assistant", "Yes.")]
    opened = render([Message(*turn) for turn in turns], tools.tokenizer, reply=True)
    assert trained_ids(answered, tools)[: len(opened)] == opened
    messages = [{"role": role, "content": text} for role, text in turns]
    assert theirs.apply_chat_template(messages, add_generation_prompt=True) == opened
