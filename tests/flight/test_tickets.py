"""Tickets are strict: what is not exactly a ticket is refused with the field's name."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nymph.errors import NymphError
from nymph.flight.tickets import MAX_TICKET_BYTES, Ticket


def test_a_ticket_survives_the_wire() -> None:
    ticket = Ticket("sequences/train", ("tokens", "audio"), 3, 2, 10, 90, 1, 4, 8, False, 16, "abc")
    assert Ticket.decode(ticket.encode()) == ticket
    mixed = Ticket(("a", "b"), weights=(1, 0.5), batch_tokens=4096)
    assert Ticket.decode(mixed.encode()) == mixed


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("table", ""),
        ("table", "a\x00b"),
        ("table", None),
        ("columns", []),
        ("columns", ["a", "a"]),
        ("columns", "tokens"),
        ("seed", 2**63),
        ("seed", True),
        ("epoch", -1),
        ("start", 1.0),
        ("start", -1),
        ("stop", "9"),
        ("rank", 1),
        ("world", 0),
        ("batch_rows", 10**9),
        ("shuffle", 1),
        ("block", 0),
        ("fingerprint", 5),
        ("table", []),
        ("table", ["a"] * 65),
        ("weights", [0]),
        ("weights", [float("inf")]),
        ("weights", [True]),
        ("weights", 1),
        ("batch_tokens", -1),
    ],
)
def test_a_value_out_of_range_is_named(field: str, value: Any) -> None:
    with pytest.raises(NymphError, match=field):
        Ticket.decode(json.dumps({"table": "t", field: value}).encode())


def test_an_unknown_field_suggests_the_right_one() -> None:
    with pytest.raises(NymphError, match="did you mean 'epoch'"):
        Ticket.decode(b'{"table": "t", "epok": 1}')


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"{}", b"null", b"[" * 60_000, b'{"table": NaN}'])
def test_what_is_no_ticket_is_refused(data: bytes) -> None:
    with pytest.raises(NymphError, match="ticket"):
        Ticket.decode(data)


def test_a_large_ticket_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(NymphError, match="at most 65536 bytes"):
        Ticket.decode(b" " * (MAX_TICKET_BYTES + 1))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with pytest.raises(NymphError):
        Ticket.decode(data)


@pytest.mark.parametrize("extra", [{"weights": (1.0, 2.0)}, {"batch_rows": 1, "batch_tokens": 1}])
def test_fields_that_contradict_each_other_are_refused(extra: dict[str, Any]) -> None:
    with pytest.raises(NymphError, match="ticket"):
        Ticket("t", **extra)


def test_a_share_past_the_table_is_an_error() -> None:
    with pytest.raises(NymphError, match="<= 10"):
        Ticket("t", stop=11).share(10)
