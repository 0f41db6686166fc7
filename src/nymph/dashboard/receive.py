"""Runs of other machines, sent over HTTP: each becomes a folder like those of this machine, under `.received`.

A sender says the last line it believes to be here; where it is wrong it is told the right one, so that a restart of
either side repeats nothing and leaves nothing out. What people ask of such a run goes back with the answer.
"""

import asyncio
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nymph.dashboard.bodies import read_body
from nymph.files import atomic_file
from nymph.training.control import CONTROL
from nymph.training.events import EVENTS, EventLog, read_events

RECEIVED = ".received"
MAX_LINES_BYTES = 4 << 20
MAX_FILE_BYTES = 16 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}@[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""`run@machine`."""
FILES = re.compile(r"samples/\d{8}-\d{1,3}\.json|tokenizer/tokenizer(_config)?\.json")
"""What is sent beside the log."""


@dataclass
class _Log:
    """A received log: when its first event was written, and the last line that is here."""

    began: float | None
    seq: int

    @classmethod
    def open(cls, path: Path) -> "_Log":
        """A half line that a crash left is cut off first."""
        EventLog(path).close()
        began, seq = None, -1
        for event in read_events(path):
            began, seq = event.get("time") if began is None else began, event["seq"]
        return cls(began, seq)


class Receiver:
    """The receiving end, for requests that `guard` has let through."""

    def __init__(self, runs_directory: Path) -> None:
        self._folder = runs_directory / RECEIVED
        self._logs: dict[str, _Log] = {}
        self._lock = asyncio.Lock()

    async def lines(self, request: Request) -> Response:
        """`?began=&after=&heard=` and JSON lines: appended if `after` is the last line here, else 409.

        The answer is `{seq, heard, requests}`: the last line here, and what was asked since control line `heard`.
        """
        name, (began, after, heard) = _name(request), _numbers(request)
        body = await read_body(request, MAX_LINES_BYTES)
        async with self._lock:
            log = await asyncio.to_thread(self._log, name, began)
            if body and after != log.seq:
                return JSONResponse({"seq": log.seq}, 409)
            if body:
                await asyncio.to_thread(self._append, name, log, body)
        return JSONResponse({"seq": log.seq, **self._asked(name, int(heard))})

    async def file(self, request: Request) -> Response:
        """A file that a line yet to come names."""
        name, path = _name(request), request.path_params["path"]
        if not FILES.fullmatch(path):
            raise HTTPException(404, "no such file is expected")
        body = await read_body(request, MAX_FILE_BYTES)
        await asyncio.to_thread(_write, self._folder / name / path, body)
        return Response(status_code=204)

    def _log(self, name: str, began: float) -> _Log:
        path = self._folder / name / EVENTS
        log = self._logs.get(name)
        if log is None or not path.exists():
            log = self._logs[name] = _Log.open(path)
        if log.began not in (None, began):  # its sender began it anew: the earlier one stays as a run of its own
            number = next(n for n in range(1, 10_000) if not (self._folder / f"{name}.{n}").exists())
            path.parent.rename(self._folder / f"{name}.{number}")
            log = self._logs[name] = _Log.open(path)
        return log

    def _append(self, name: str, log: _Log, body: bytes) -> None:
        events = _parse(body, log.seq)
        with open(self._folder / name / EVENTS, "ab") as file:
            file.write(body)
        log.seq = events[-1]["seq"]
        log.began = events[0].get("time") if log.began is None else log.began

    def _asked(self, name: str, heard: int) -> dict[str, object]:
        """A sender that has just begun (`heard` below -1) is told where requests stand, not old requests."""
        events = list(read_events(self._folder / name / CONTROL))
        requests = [event["kind"] for event in events if event["seq"] > heard >= -1]
        return {"heard": events[-1]["seq"] if events else -1, "requests": requests}


def _parse(body: bytes, seq: int) -> list[dict[str, Any]]:
    """The events of whole lines that rise from `seq`; 400 for anything else."""
    try:
        events = [json.loads(line) for line in body.splitlines()]
        for event in events:
            if not (isinstance(event["seq"], int) and event["seq"] > seq and isinstance(event["kind"], str)):
                raise ValueError
            seq = event["seq"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise HTTPException(400, "expected event lines with rising seq") from None
    if not body.endswith(b"\n"):
        raise HTTPException(400, "expected whole lines")
    return events


def _write(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write(body)


def _name(request: Request) -> str:
    name: str = request.path_params["run"]
    if not _NAME.fullmatch(name):
        raise HTTPException(400, "expected a run named like run@machine")
    return name


def _numbers(request: Request) -> tuple[float, int, int]:
    try:
        query = request.query_params
        return float(query["began"]), int(query["after"]), int(query["heard"])
    except (KeyError, ValueError):
        raise HTTPException(400, "expected ?began=TIME&after=SEQ&heard=SEQ") from None
