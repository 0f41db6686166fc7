"""What a person asks of a run in flight: lines in `control.jsonl` beside its event log, answered after the next step.

Whoever may write into the run directory may ask; the dashboard lets those do it who have its token. Nobody has to
listen: a request made while no trainer is at work is void. Looking costs 5 us a step.
"""

import os
from pathlib import Path
from typing import Literal, get_args

from nymph.errors import NymphError
from nymph.training.events import EventLog, EventReader

CONTROL = "control.jsonl"
"""Name of the file in a run directory."""

Request = Literal["checkpoint", "stop"]
"""`checkpoint` saves one when the step at work ends; `stop` ends the run there, with one, to be continued later."""
REQUESTS: tuple[Request, ...] = get_args(Request)


def ask(run_directory: str | os.PathLike[str], request: str) -> None:
    """Ask the trainer at work in `run_directory`; NymphError where it knows no such request."""
    if request not in REQUESTS:
        raise NymphError(f"a run can be asked for {' or '.join(REQUESTS)}, got {request!r}")
    with EventLog(Path(run_directory) / CONTROL) as log:
        log.write(request)


class Control:
    """The trainer's side: what was asked since it began."""

    def __init__(self, run_directory: str | os.PathLike[str]) -> None:
        self._reader = EventReader(Path(run_directory) / CONTROL)
        self._reader.poll()

    def asked(self) -> list[str]:
        """Requests since the last call, in order."""
        return [event["kind"] for event in self._reader.poll() if event["kind"] in REQUESTS]
