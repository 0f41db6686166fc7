"""Whatever JSON a line holds, it gives rows or one reason; it never ends the run."""

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from nymph.errors import NymphError
from nymph.ingestion.documents import line_rows
from nymph.ingestion.jsonl import Line
from nymph.ingestion.messages import FlatMessages, is_flat_message
from nymph.ingestion.options import IngestionOptions
from nymph.ingestion.raw import RawFile, RawFolder

KEYS = ["text", "audio", "messages", "prompt", "replies", "role", "content", "rank", "lang", "deleted", "message_id"]
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.sampled_from(["user", "", "a", "\0", "../x", "x" * 5000]),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)),
)
RECORDS = st.dictionaries(st.sampled_from([*KEYS, "parent_id", "speaker"]), VALUES, max_size=6)


def rows(value: dict[str, Any]) -> list[dict[str, Any]]:
    here = Path(__file__).parent
    file = RawFile("a.jsonl", here / "a.jsonl", 1, 0)
    line = Line(1, json.dumps(value).encode(), value)
    if is_flat_message(value):
        flat = FlatMessages()
        flat.add(line)
        return [tree for _, tree in flat.trees()]
    return list(line_rows(line, file, RawFolder(here), IngestionOptions()))


def outcome(value: dict[str, Any]) -> list[dict[str, Any]] | str:
    try:
        return rows(value)
    except NymphError as error:
        return str(error)
    except OSError as error:  # a name that no file system takes; ingestion quarantines it as unreadable
        return str(error)


@settings(max_examples=400)
@given(RECORDS)
def test_any_record_gives_rows_or_a_reason(value: dict[str, Any]) -> None:
    assert outcome(value)
