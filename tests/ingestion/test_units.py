"""Units are bounded, and a change remakes the one it lies in."""

import hashlib
from itertools import pairwise
from typing import Any

from nymph.ingestion import units
from nymph.ingestion.units import in_units


def rows(*numbers: int, words: int = 1) -> list[dict[str, Any]]:
    return [{"id": hashlib.sha256(b"%d" % number).hexdigest()[:32], "words": words} for number in numbers]


def names(made: list[dict[str, Any]]) -> set[str]:
    return {row["unit"] for row in in_units(made)}


def test_rows_keep_their_order_and_units_are_runs() -> None:
    made = list(in_units(rows(*range(20_000))))
    assert [row["id"] for row in made] == [row["id"] for row in rows(*range(20_000))]
    changes = sum(a["unit"] != b["unit"] for a, b in pairwise(made))
    assert changes + 1 == len({row["unit"] for row in made})
    assert 20 <= changes <= 70


def test_a_line_added_anywhere_remakes_one_unit() -> None:
    before = names(rows(*range(5000)))
    for place in (0, 2500, 5000):
        after = names(rows(*range(place), 999_999, *range(place, 5000)))
        assert len(before - after) <= 1


def test_long_documents_end_a_unit_early() -> None:
    assert len(names(rows(*range(10), words=units.MOST_WORDS))) == 10


def test_recordings_keep_their_own_unit() -> None:
    (text, speech) = in_units([*rows(1), {**rows(2)[0], "unit": "mine"}])
    assert speech["unit"] == "mine"
    assert names(rows(1)) == {text["unit"]}
