"""How much a command says, and in which form: `rich` for people, `quiet` for cron, `json` for machines.

`kedro run --output` sets it, or the variable NYMPH_OUTPUT, which worker processes inherit. In `json` every stage,
every log line and the summary is one JSON object on standard output; in the other forms `record` does nothing.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, cast, get_args

from nymph.errors import NymphError

Output = Literal["rich", "quiet", "json"]
VARIABLE = "NYMPH_OUTPUT"
FORMS: tuple[str, ...] = get_args(Output)


def output() -> Output:
    """The form asked for.

    Raises:
        NymphError: NYMPH_OUTPUT holds something else.
    """
    form = os.environ.get(VARIABLE) or "rich"
    if form not in FORMS:
        raise NymphError(f"{VARIABLE}={form}: expected one of {', '.join(FORMS)}")
    return cast(Output, form)


LISTENERS: list[Callable[[str, Mapping[str, Any]], None]] = []
"""Told of every record in this process, whatever the form."""


def record(kind: str, **fields: Any) -> None:
    """Write one JSON line of this kind, if that is the form asked for; `time` is in unix seconds."""
    for listen in LISTENERS:
        listen(kind, fields)
    if output() == "json":
        line = json.dumps({"time": round(time.time(), 3), "kind": kind, **fields}, default=str)
        print(line, file=sys.stdout, flush=True)


class JsonHandler(logging.Handler):
    """Log records as JSON lines among the others."""

    def emit(self, entry: logging.LogRecord) -> None:
        """Write the record; a traceback goes with it as text."""
        trace = logging.Formatter().formatException(entry.exc_info) if entry.exc_info else None
        fields = {"level": entry.levelname.lower(), "logger": entry.name, "message": entry.getMessage()}
        record("log", **fields, **({"traceback": trace} if trace else {}))


def set_output(form: Output | None) -> None:
    """Choose the form for this process and its children; Kedro's own log handler gives way to it."""
    if form is not None:
        os.environ[VARIABLE] = form
    root = logging.getLogger()
    if output() == "json":
        root.handlers[:] = [JsonHandler()]
    elif output() == "quiet":
        root.setLevel(logging.ERROR)
        logging.getLogger("nymph").setLevel(logging.ERROR)
