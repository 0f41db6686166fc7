"""Errors a user can act on: what was expected, what came, what to do. The CLI prints them as one line."""

import difflib
from collections.abc import Iterable


class NymphError(Exception):
    """An expected failure: bad input, bad configuration, a server that is down. Never shown with a traceback."""


def nearest(wrong: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the known name nearest to a wrong one, or an empty string."""
    close = difflib.get_close_matches(wrong, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
