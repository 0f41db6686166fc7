"""Chats become threads, and the template is one."""

import pytest

from nymph.errors import NymphError
from nymph.text.chat import ChatCounts, ChatOptions, Message, assemble_trees, problems, render, threads
from nymph.text.tokenizer import Tokenizer, TokenizerOptions, train_tokenizer

TREE = {
    "prompt": {
        "text": "Hi?",
        "role": "prompter",
        "lang": "en",
        "replies": [
            {"text": "Worse.", "role": "assistant", "lang": "en", "rank": 1, "replies": []},
            {
                "text": "Best.",
                "role": "assistant",
                "lang": "en",
                "rank": 0,
                "replies": [{"text": "Und?", "role": "prompter", "lang": "de", "replies": []}],
            },
            {"text": "Gone.", "role": "assistant", "lang": "en", "rank": 2, "deleted": True, "replies": []},
        ],
    }
}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(["Hello there, how are you today? Fine."] * 3, TokenizerOptions(vocabulary_size=400))


def contents(options: ChatOptions, *records: dict) -> list[list[str]]:
    return [[message.content for message in thread] for thread in threads(records, options)]


def test_the_best_reply_is_followed() -> None:
    assert contents(ChatOptions(), TREE) == [["Hi?", "Best."]]


def test_every_reply_gives_a_thread_when_rank_is_unbounded() -> None:
    assert contents(ChatOptions(maximum_rank=None), TREE) == [["Hi?", "Best."], ["Hi?", "Worse."]]


def test_another_language_ends_a_thread() -> None:
    assert contents(ChatOptions(languages=("en",)), TREE) == [["Hi?", "Best."]]
    assert contents(ChatOptions(languages=("de",)), TREE) == []


def test_the_aliases_are_roles() -> None:
    record = {"messages": [{"role": "human", "content": "a"}, {"role": "Bot", "content": "b"}]}
    (thread,) = threads([record], ChatOptions())
    assert [message.role for message in thread] == ["user", "assistant"]


def test_an_unknown_role_is_counted_and_the_rest_goes_on() -> None:
    bad = {"messages": [{"role": "asistant", "content": "a"}]}
    counts = ChatCounts()
    assert len(list(threads([bad, TREE], ChatOptions(), counts))) == 1
    assert counts.kept == 1
    assert "did you mean 'assistant'" in next(iter(counts.rejected))


def test_no_more_conversations_than_asked() -> None:
    assert len(contents(ChatOptions(maximum_conversations=2), TREE, TREE, TREE)) == 2


@pytest.mark.parametrize(
    ("roles", "reason"),
    [
        (["user", "user", "assistant"], "two turns of one role in a row"),
        (["assistant"], "does not begin with the user"),
        (["user"], "no assistant turn"),
        (["user", "system", "assistant"], "a system turn after the start"),
    ],
)
def test_a_broken_role_order_is_named(roles: list[str], reason: str) -> None:
    assert reason in problems([Message(role, "words") for role in roles], ChatOptions())


def test_an_empty_turn_is_named() -> None:
    assert "an empty turn" in problems([Message("user", " "), Message("assistant", "a")], ChatOptions())


def test_flat_rows_become_trees() -> None:
    rows = [
        {"message_id": "1", "parent_id": None, "role": "prompter", "text": "Hi?"},
        {"message_id": "2", "parent_id": "1", "role": "assistant", "text": "Yes."},
    ]
    assert contents(ChatOptions(), *assemble_trees(rows)) == [["Hi?", "Yes."]]


def test_a_reply_without_its_parent_is_an_error() -> None:
    with pytest.raises(NymphError, match="has not come before it"):
        list(assemble_trees([{"message_id": "2", "parent_id": "1"}]))


@pytest.mark.parametrize("reply", [False, True])
def test_the_template_of_transformers_gives_the_same_ids(tokenizer: Tokenizer, reply: bool) -> None:
    messages = [("system", "Be brief."), ("user", "Hello... there"), ("assistant", " Fine\n\n\u2014 and you?")]
    theirs = tokenizer.to_transformers().apply_chat_template(
        [{"role": role, "content": text} for role, text in messages], add_generation_prompt=reply
    )
    assert render([Message(*message) for message in messages], tokenizer, reply) == theirs


def test_the_saved_folder_loads_in_transformers_with_its_template(tokenizer: Tokenizer, tmp_path) -> None:
    from transformers import PreTrainedTokenizerFast

    tokenizer.save(tmp_path / "tokenizer.json")
    theirs = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    ids = theirs.apply_chat_template([{"role": "user", "content": "Hello there"}])
    assert ids == render([Message("user", "Hello there")], tokenizer)
    assert theirs.pad_token_id == 0
