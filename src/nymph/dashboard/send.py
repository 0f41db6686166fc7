"""Send this machine's runs to a dashboard on another one, as they are written.

The receiver says which line it has last, so nothing is kept here: stop it, restart it, lose the network for a week,
and what is missing is sent then. It also brings back what people ask of a run there, for the control file here.
"""

import http.client
import json
import logging
import re
import socket
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from nymph.dashboard.receive import FILES, MAX_LINES_BYTES
from nymph.errors import NymphError
from nymph.training.control import REQUESTS, ask
from nymph.training.events import EVENTS, EventReader

PERIOD_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
_TIMEOUT_SECONDS = 20.0
_READ_BYTES = MAX_LINES_BYTES // 4
_NOBODY_HEARD = -2
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Receiver:
    """A dashboard that runs are sent to."""

    address: str
    """`http://box:8787`; https where something in front of it speaks TLS."""
    key: str

    def __post_init__(self) -> None:
        if urlsplit(self.address).scheme not in ("http", "https") or not urlsplit(self.address).hostname:
            raise NymphError(f"runs are sent to an address like http://box:8787, got {self.address!r}")
        if not self.key:
            raise NymphError(f"sending runs to {self.address} needs its token in NYMPH_DASHBOARD_TOKEN")

    def put(self, path: str, body: bytes) -> None:
        """Send a file."""
        self._open("PUT", path, body)

    def post(self, path: str, body: bytes) -> dict[str, Any]:
        """Send lines; the answer, also of a 409."""
        return dict(json.loads(self._open("POST", path, body)))

    def _open(self, method: str, path: str, body: bytes) -> bytes:
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/octet-stream"}
        url = f"{self.address.rstrip('/')}/api/received/{path}"
        request = urllib.request.Request(url, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 409:
                    return error.read()
                if error.code in (401, 403):
                    raise NymphError(
                        f"{self.address} refused the token in NYMPH_DASHBOARD_TOKEN ({error.code})"
                    ) from None
                raise


@dataclass
class Sending:
    """One run on its way."""

    folder: Path
    machine: str
    _began: float = 0.0
    _reader: EventReader | None = None
    """None: ask the receiver what it has."""
    _heard: int = _NOBODY_HEARD
    _ended: bool = False
    _files: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        """`run@machine`, of letters that a folder's name may have anywhere."""
        return "@".join(re.sub(r"[^A-Za-z0-9._-]", "-", part)[:100] for part in (self.folder.name, self.machine))

    def advance(self, to: Receiver) -> None:
        """Send what is new; hear what was asked there."""
        size = (self.folder / EVENTS).stat().st_size
        if self._reader is None or size < self._reader.offset:
            self._reader = self._begin(to)
        if self._reader is None or (self._ended and size == self._reader.offset):
            return
        after = self._reader.after
        while events := self._reader.poll(_READ_BYTES):
            self._send_files(to, events)
            lines = b"".join(json.dumps(event, separators=(",", ":")).encode() + b"\n" for event in events)
            if not self._exchange(to, lines, after):
                return
            after, self._ended = events[-1]["seq"], events[-1]["kind"] == "end"
        self._exchange(to, b"", after)

    def again(self) -> None:
        """What was on its way may or may not have arrived: begin again from what the receiver has."""
        self._reader = None

    def _begin(self, to: Receiver) -> EventReader | None:
        first = EventReader(self.folder / EVENTS).poll(1)
        if not first:
            return None
        self._began = float(first[0].get("time") or 0)
        answer = self._ask(to, b"", -1)
        self._take(answer)
        for file in sorted((self.folder / "tokenizer").glob("*.json")):
            self._send_file(to, f"tokenizer/{file.name}")
        return EventReader(self.folder / EVENTS, after=answer["seq"])

    def _exchange(self, to: Receiver, lines: bytes, after: int) -> bool:
        """Whether the receiver took them; it does not where it has something else than we believed."""
        answer = self._ask(to, lines, after)
        if "heard" not in answer:
            self.again()
            return False
        self._take(answer)
        return True

    def _ask(self, to: Receiver, lines: bytes, after: int) -> dict[str, Any]:
        query = urlencode({"began": repr(self._began), "after": after, "heard": self._heard})
        return to.post(f"{quote(self.name)}?{query}", lines)

    def _take(self, answer: dict[str, Any]) -> None:
        self._heard = answer["heard"]
        for request in answer["requests"]:
            if request in REQUESTS:
                ask(self.folder, request)

    def _send_files(self, to: Receiver, events: list[dict[str, Any]]) -> None:
        for event in events:
            if event["kind"] == "sample" and isinstance(event.get("file"), str):
                self._send_file(to, event["file"])

    def _send_file(self, to: Receiver, path: str) -> None:
        if path in self._files or not FILES.fullmatch(path):
            return
        try:
            to.put(f"{quote(self.name)}/{quote(path)}", (self.folder / path).read_bytes())
        except FileNotFoundError:  # made room for newer ones before it could be sent
            return
        self._files.add(path)


def send(runs_directory: Path, to: Receiver, machine: str = "", until: threading.Event | None = None) -> None:
    """Send every run until interrupted, or until `until` is set and what was there then has been sent, or tried.

    Raises:
        NymphError: The receiver refuses the token.
    """
    machine, until = machine or socket.gethostname(), until or threading.Event()
    runs: dict[str, Sending] = {}
    failures = 0
    while True:
        last = until.is_set()
        try:
            for log in sorted(runs_directory.glob(f"[!.]*/{EVENTS}")):
                runs.setdefault(log.parent.name, Sending(log.parent, machine)).advance(to)
            failures = 0
        except (OSError, http.client.HTTPException, ValueError) as error:
            for run in runs.values():
                run.again()
            failures += 1
            _logger.warning("%s: %s; trying again", to.address, error)
        if last:
            return
        until.wait(min(LONGEST_PAUSE_SECONDS, PERIOD_SECONDS * 2**failures))
