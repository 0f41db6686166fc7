"""Chats: OpenAssistant trees, flat messages and `{"messages": [...]}` become threads of turns.

One template serves training, chat and serving: a role token, the words, the end of the turn. It exists twice, as
Jinja for `transformers` and as ids here, because ids built here cannot be forged by what a message says; a test
holds the two together.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar

from nymph.errors import NymphError
from nymph.text.tokenizer import Tokenizer
from nymph.text.vocabulary import END_OF_TURN, canonical_role, role_token

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Message:
    """One turn."""

    role: str
    """system, user or assistant."""
    content: str


Thread = tuple[Message, ...]


@dataclass(frozen=True)
class ChatOptions:
    """Which threads of a tree are kept."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    languages: tuple[str, ...] = ()
    """Keep only messages in these languages (ISO 639-1); empty keeps all."""
    maximum_rank: int | None = 0
    """Follow replies ranked up to this, 0 being the best; null follows every reply."""
    maximum_conversations: int | None = None
    """Stop after this many threads."""
    maximum_characters: int = 200_000
    """Longer threads are rejected."""


@dataclass
class ChatCounts:
    """What became of a chat source: kept threads, and rejects by reason."""

    kept: int = 0
    rejected: Counter[str] = field(default_factory=Counter)


def threads(records: Iterable[Record], options: ChatOptions, counts: ChatCounts | None = None) -> Iterator[Thread]:
    """Threads of chat records in order, those with a fault left out and counted by reason.

    A record is an OpenAssistant tree (`prompt` or nested `replies`) or `{"messages": [{"role", "content"}]}`.
    """
    tally = counts if counts is not None else ChatCounts()
    for record in records:
        try:
            found = list(threads_of(record, options))
        except NymphError as error:
            tally.rejected[str(error)] += 1
            continue
        for thread in found:
            reasons = problems(thread, options)
            tally.rejected.update(reasons[:1])
            if reasons:
                continue
            if options.maximum_conversations is not None and tally.kept >= options.maximum_conversations:
                return
            tally.kept += 1
            yield thread


def problems(thread: Sequence[Message], options: ChatOptions) -> list[str]:
    """What is wrong with a conversation, in words that can be counted; empty if nothing is."""
    roles = [message.role for message in thread]
    turns = [role for role in roles if role != "system"]
    checks = {
        "no turns": not turns,
        "an empty turn": any(not message.content.strip() for message in thread),
        "a system turn after the start": "system" in roles[1:],
        "does not begin with the user": bool(turns) and turns[0] != "user",
        "two turns of one role in a row": any(a == b for a, b in pairwise(turns)),
        "no assistant turn": bool(turns) and "assistant" not in turns,
        "too long": sum(len(message.content) for message in thread) > options.maximum_characters,
    }
    return [reason for reason, wrong in checks.items() if wrong]


def assemble_trees(rows: Iterable[Record]) -> Iterator[Record]:
    """Trees from flat OpenAssistant rows (`message_id`, `parent_id`); a reply must come after its parent.

    Holds all rows of the source: flat rows of one tree may stand anywhere.
    """
    nodes: dict[str, dict[str, Any]] = {}
    for row in rows:
        node = {**row, "replies": []}
        nodes[row["message_id"]] = node
        parent = row.get("parent_id")
        if parent is not None and parent not in nodes:
            raise NymphError(f"chat message {row['message_id']!r} answers {parent!r}, which has not come before it")
        if parent is not None:
            nodes[parent]["replies"].append(node)
    return (node for node in nodes.values() if node.get("parent_id") is None)


def render(thread: Iterable[Message], tokenizer: Tokenizer, reply: bool = False) -> list[int]:
    """The ids of a thread by the chat template; with `reply`, the assistant's turn is opened at the end."""
    ids: list[int] = []
    for message in thread:
        ids += [tokenizer.id(role_token(message.role)), *tokenizer.encode(message.content), tokenizer.id(END_OF_TURN)]
    return [*ids, tokenizer.id(role_token("assistant"))] if reply else ids


def message_of(record: Record) -> Message:
    """A message from `role` and `content` (or OpenAssistant's `text`); NymphError on an unknown role or no text."""
    if not isinstance(record, Mapping):
        raise NymphError("a message needs to be an object with 'role' and 'content'")
    role, content = record.get("role"), record.get("content", record.get("text"))
    if not isinstance(role, str) or not isinstance(content, str):
        raise NymphError("a message needs 'role' and 'content' (or 'text') as strings")
    return Message(canonical_role(role), content)


def threads_of(record: Record, options: ChatOptions = ChatOptions()) -> Iterator[Thread]:
    """The threads of one record, whatever their quality; NymphError where it is no chat or a role is unknown."""
    if "messages" in record:
        if not isinstance(record["messages"], list | tuple):
            raise NymphError("not a chat: expected 'messages' to be a list")
        yield tuple(message_of(message) for message in record["messages"])
        return
    root = record.get("prompt", record)
    if not isinstance(root, Mapping) or "role" not in root:
        raise NymphError("not a chat: expected 'messages', or a tree with 'prompt' or 'replies'")
    yield from _paths(root, options)


def _paths(root: Record, options: ChatOptions) -> Iterator[Thread]:
    """Every kept path from the root to a leaf, best replies first. A stack, for trees can be deeper than Python's."""
    stack: list[tuple[Record, Thread]] = [(root, ())]
    while stack:
        node, before = stack.pop()
        if options.languages and node.get("lang") not in options.languages:
            if before:
                yield _until_assistant(before)
            continue
        thread = (*before, message_of(node))
        replies = _kept_replies(node, options)
        if not replies:
            yield _until_assistant(thread)
        stack.extend((reply, thread) for reply in reversed(replies))


def _kept_replies(node: Record, options: ChatOptions) -> list[Record]:
    """Replies that are not deleted, by rank (unranked ones last, in order), as many as `maximum_rank` allows."""
    replies = node.get("replies") or []
    if not isinstance(replies, list | tuple) or not all(isinstance(reply, Mapping) for reply in replies):
        raise NymphError("not a chat: expected 'replies' to be a list of messages")
    alive = [reply for reply in replies if not reply.get("deleted")]
    ranks = [reply.get("rank") for reply in alive]
    if not all(rank is None or isinstance(rank, int | float) for rank in ranks):
        raise NymphError("not a chat: expected 'rank' to be a number or null")
    ordered = sorted(alive, key=lambda reply: (reply.get("rank") is None, reply.get("rank") or 0))
    return ordered if options.maximum_rank is None else ordered[: options.maximum_rank + 1]


def _until_assistant(thread: Thread) -> Thread:
    """The thread without questions at its end that nobody answered, unless nothing would be left."""
    end = len(thread)
    while end > 1 and thread[end - 1].role != "assistant":
        end -= 1
    return thread[:end] if any(message.role == "assistant" for message in thread) else thread
