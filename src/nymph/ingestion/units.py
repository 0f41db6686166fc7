"""Runs of records that later stages keep in one file: bounded, and stable when records are added anywhere.

A unit ends after a record whose own id says so, on average every 512 records. So a line that is added, changed or
taken out remakes the unit it lies in and no other, wherever in the file it is; cutting every 512th line would remake
all that follow.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

AVERAGE = 512
"""Records of a unit on average."""
MOST = 4096
"""Records of a unit at most."""
MOST_WORDS = 1_000_000
"""Words after which a unit ends whatever the ids say: long documents must not make one that fills memory."""


def in_units(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows in their order, those without a unit given one. Holds one unit."""
    pending: list[dict[str, Any]] = []
    words = 0
    for row in rows:
        pending.append(row)
        words += row.get("words") or 0
        if len(pending) >= MOST or words >= MOST_WORDS or int(row["id"][:8], 16) % AVERAGE == 0:
            yield from _named(pending)
            pending, words = [], 0
    yield from _named(pending)


def _named(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows with their unit's id: a hash of their ids. Recordings keep their own."""
    ids = [row["id"] for row in rows if "unit" not in row]
    unit = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:32]
    yield from ({"unit": unit, **row} for row in rows)
