"""A finding, and the three grades it can have."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from nymph.errors import NymphError

Grade = Literal["ok", "warning", "failure"]


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    topic: str
    grade: Grade
    text: str
    advice: str = ""


def attempt(topic: str, probe: Callable[[], str]) -> Finding:
    """A finding from a probe that returns what it found or raises NymphError with what to do."""
    try:
        return Finding(topic, "ok", probe())
    except NymphError as error:
        text, _, advice = str(error).rpartition("; ")
        text, advice = (text, advice) if text else (advice, "")
        return Finding(topic, "failure", text, advice)
