"""OpenAssistant's flat messages, one a line, put together into their trees.

Rows of one tree may stand anywhere in a file, so all of a file's messages are held until its end: about three times
the file's size. Trees (`prompt`, nested `replies`) are read line by line and cost nothing of the kind.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from nymph.ingestion.failures import IngestionError
from nymph.ingestion.jsonl import Line
from nymph.text.chat import assemble_trees

_KEYS = ("message_id", "role", "text")


def is_flat_message(value: dict[str, Any]) -> bool:
    """Whether a record is one message of a tree whose other messages are on other lines."""
    return all(isinstance(value.get(key), str) for key in _KEYS) and not value.get("replies") and "prompt" not in value


@dataclass
class FlatMessages:
    """The flat messages of one file, in its order."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)
    """Message id -> line."""

    def add(self, line: Line) -> None:
        """Take a message.

        Raises:
            IngestionError: it has another's id, or answers one that has not come before it.
        """
        id, parent = line.value["message_id"], line.value.get("parent_id")
        if id in self.lines:
            raise IngestionError("bad_record", f"expected a new message_id, got {id!r} of line {self.lines[id]} again")
        if parent is not None and parent not in self.lines:
            raise IngestionError("bad_record", f"message {id!r} answers {parent!r}, which has not come before it")
        self.lines[id] = line.number
        self.rows.append(line.value)

    def trees(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Each tree, with the line of its first message."""
        for tree in assemble_trees(self.rows):
            yield self.lines[tree["message_id"]], dict(tree)
