"""The Flight server: tables under allow-listed roots, to whoever may read them. All calls are guarded alike.

It keeps no state about its clients: a ticket says everything, so a restarted server continues any stream. What it
cannot do is refuse a large message before gRPC has received it; it refuses before parsing.
"""

import json
import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.flight as fl

from nymph.errors import NymphError
from nymph.flight.auth import Authenticator, Token
from nymph.flight.backups import SCHEMA, Backups, FileRequest
from nymph.flight.catalogue import Catalogue
from nymph.flight.gather import Arenas
from nymph.flight.guard import guarded, rpc, streamed
from nymph.flight.listening import Tls, certificates_of, check_exposure, location_of
from nymph.flight.mixed import MixedTable
from nymph.flight.pieces import project
from nymph.flight.stats import Stats
from nymph.flight.tables import Table
from nymph.flight.tickets import Ticket
from nymph.flight.uploads import Uploads

log = logging.getLogger(__name__)

_ENDPOINT_BYTES = 256 * 1024 * 1024
_MAX_ENDPOINTS = 64
_ACTIONS = {
    "health": ("read", "status and tables"),
    "stats": ("read", "counters"),
    "refresh": ("admin", "look for new and replaced tables"),
    "backups": ("read", "names of the complete backups"),
    "backup_files": ("read", "files of the complete backup `backup`"),
    "backup": ("write", "what is missing of `backup` with the files {name: {size, sha256}}; nothing: it is complete"),
    "backup_drop": ("write", "delete the complete backup `backup`"),
}
"""Scope and meaning; arguments and answers are JSON objects."""


@dataclass(frozen=True)
class Limits:
    """What one server gives at most."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    streams: int = 128
    """Streams at once; one costs a thread and about 8 MiB, however slow its reader is."""
    request_bytes: int = 64 * 1024
    """Bytes of a ticket, descriptor or action."""
    upload_bytes: int = 4 * 1024**3
    """Bytes of one uploaded shard or file."""
    message_bytes: int = 64 * 1024**2
    """Bytes of one message of an upload."""
    cache_bytes: int | None = None
    """Bytes of all Arrow caches; the longest unused go first. None is no limit."""


class FlightServer(fl.FlightServerBase):
    """Serves every Parquet table under `roots` (name -> folder); it listens as soon as it is made.

    Port 0 takes a free one, see `port`. `token` grants everything, `tokens` what each of them says; with neither,
    everyone who reaches the port may do everything. Uploads go to the roots named in `writable`, backups to the folders
    of `backups`. NymphError where the port is taken, or where it would listen beyond this machine without TLS and a
    token and `insecure` is not set.
    """

    def __init__(
        self,
        roots: Mapping[str, Path],
        host: str = "127.0.0.1",
        port: int = 9090,
        token: str | None = None,
        *,
        tokens: Sequence[Token] = (),
        tls: Tls | None = None,
        limits: Limits | None = None,
        writable: Sequence[str] = (),
        backups: Mapping[str, Path] | None = None,
        insecure: bool = False,
    ) -> None:
        accepted = [*tokens, *([Token.of(token)] if token is not None else [])]
        check_exposure(host, tls is not None, bool(accepted), insecure)
        self.limits = limits or Limits()
        self.stats = Stats()
        self.slots = threading.BoundedSemaphore(self.limits.streams)
        self.closing = threading.Event()
        self._catalogue = Catalogue(_existing(roots), self.limits.cache_bytes)
        self._uploads = Uploads(
            {name: Path(roots[name]) for name in writable}, self.limits.upload_bytes, self.limits.message_bytes
        )
        self._backups = Backups(backups or {}, self.limits.upload_bytes, self.limits.message_bytes)
        try:
            super().__init__(
                location_of(host, port, tls), middleware={"auth": Authenticator(accepted)}, **certificates_of(tls)
            )
        except (pa.ArrowException, OSError) as error:
            raise NymphError(f"cannot listen on {host}:{port}: {_first_line(error)}; choose another port") from None

    def refresh(self) -> list[str]:
        """Look for new and replaced tables now rather than within a second; the names of all."""
        return self._catalogue.refresh()

    def hide(self, message: str) -> str:
        """`message` without this machine's paths."""
        return self._catalogue.hide(message)

    @rpc("read")
    def list_flights(self, context: fl.ServerCallContext, criteria: bytes) -> Iterator[fl.FlightInfo]:
        """Every folder that is a table and whose name starts with `criteria`; damaged ones are left out and logged."""
        prefix = criteria.decode("utf-8", "replace")
        return guarded(
            self, (info for name in self._catalogue.names() if name.startswith(prefix) for info in self._listed(name))
        )

    @rpc("read")
    def get_flight_info(self, context: fl.ServerCallContext, descriptor: fl.FlightDescriptor) -> fl.FlightInfo:
        """Schema, rows, bytes, fingerprint (`app_metadata`) and one endpoint a range, in file order."""
        name = _table_name(descriptor)
        table = self._catalogue.table(name)
        return fl.FlightInfo(
            table.schema,
            descriptor,
            _endpoints(name, table),
            total_records=table.rows,
            total_bytes=table.nbytes,
            ordered=True,
            app_metadata=table.fingerprint.encode(),
        )

    @rpc("read")
    def get_schema(self, context: fl.ServerCallContext, descriptor: fl.FlightDescriptor) -> fl.SchemaResult:
        """The schema of a table."""
        return fl.SchemaResult(self._catalogue.table(_table_name(descriptor)).schema)

    @rpc("read")
    def do_get(self, context: fl.ServerCallContext, ticket: fl.Ticket) -> fl.FlightDataStream:
        """The rows of a ticket (`nymph.flight.tickets`), or a file of a backup."""
        if request := FileRequest.decode(ticket.ticket):
            blocks = self._backups.send(request)
            return fl.GeneratorStream(SCHEMA, streamed(self, blocks, request.backup, context.peer()))
        wanted = Ticket.decode(ticket.ticket)
        tables = [self._catalogue.table(name) for name in wanted.tables]
        table = MixedTable(tables, wanted.weights or [1.0] * len(tables)) if wanted.mixes else tables[0]
        schema = project(table.schema, wanted.columns, wanted.label)
        batches = streamed(self, table.runs(wanted, Arenas()), wanted.label, context.peer())
        return fl.GeneratorStream(schema, batches)

    @rpc("write")
    def do_put(
        self,
        context: fl.ServerCallContext,
        descriptor: fl.FlightDescriptor,
        reader: fl.MetadataRecordBatchReader,
        writer: fl.FlightMetadataWriter,
    ) -> None:
        """Write a shard: the descriptor's path is root, folders and `name.parquet`; visible whole or not at all.

        Where its command is a `FileRequest`, a file of a backup is received.
        """
        if request := FileRequest.decode(descriptor.command):
            size = self._backups.receive(request, reader)
        else:
            size = self._uploads.write(_table_name(descriptor), reader, context.is_cancelled)
        self.stats.add("upload_bytes", size)

    @rpc("read")
    def list_actions(self, context: fl.ServerCallContext) -> list[tuple[str, str]]:
        """What `do_action` knows."""
        return [(name, meaning) for name, (_, meaning) in _ACTIONS.items()]

    @rpc(None)
    def do_action(self, context: fl.ServerCallContext, action: fl.Action) -> list[bytes]:
        """One JSON object."""
        if action.type not in _ACTIONS:
            raise NymphError(f"unknown action {action.type[:80]!r}: expected one of {', '.join(_ACTIONS)}")
        self.require(context, _ACTIONS[action.type][0])
        return [json.dumps(self._act(action.type, _arguments(action))).encode()]

    def require(self, context: fl.ServerCallContext, scope: str) -> None:
        """FlightUnauthorizedError where the caller's token does not have `scope`."""
        if scope not in context.get_middleware("auth").scopes:
            raise fl.FlightUnauthorizedError(f"this token does not have the scope {scope!r}")

    def serve(self, deadline: float = 10.0) -> None:
        """Serve until SIGTERM or SIGINT; streams are then ended and the process leaves within `deadline` seconds.

        Clients of this project wait and continue elsewhere in the same row. One that never reads cannot be ended, so
        past the deadline the process exits at once.
        """
        stopped = threading.Event()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: stopped.set())
        while not stopped.wait(1.0):  # short waits, so that Python handles the signal
            pass
        if not self.shutdown(deadline):
            log.warning("streams did not end within %s s; leaving", deadline)
            os._exit(0)

    def shutdown(self, deadline: float = 10.0) -> bool:
        """End all streams and stop listening; False where a client that does not read held on past the deadline."""
        self.closing.set()
        self._catalogue.close()
        thread = threading.Thread(target=super().shutdown, name="flight-shutdown", daemon=True)
        thread.start()
        thread.join(deadline)
        return not thread.is_alive()

    def snapshot(self) -> dict[str, Any]:
        """What the stats action and the metrics page tell."""
        return self.stats.snapshot() | {"preparing": self._catalogue.preparing()}

    def _act(self, action: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if action == "stats":
            return self.snapshot()
        if action.startswith("backup"):
            return self._act_on_backups(action, arguments)
        tables = self.refresh() if action == "refresh" else self._catalogue.names()
        return {"status": "closing" if self.closing.is_set() else "serving", "tables": tables}

    def _act_on_backups(self, action: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if action == "backups":
            return {"backups": self._backups.names()}
        backup, files = arguments.get("backup"), arguments.get("files", {})
        if not isinstance(backup, str) or not isinstance(files, dict):
            raise NymphError('expected {"backup": "root/folder", "files": {...}}')
        if action == "backup_files":
            return {"files": self._backups.files(backup)}
        if action == "backup_drop":
            self._backups.drop(backup)
            return {}
        return {"missing": self._backups.missing(backup, files)}

    def _listed(self, name: str) -> Iterator[fl.FlightInfo]:
        descriptor = fl.FlightDescriptor.for_path(*name.split("/"))
        try:
            schema, rows, size = self._catalogue.peek(name)
        except NymphError as error:
            log.warning("table %s is left out of the listing: %s", name, error)
            return
        endpoints = [fl.FlightEndpoint(Ticket(name, shuffle=False).encode(), [])]
        yield fl.FlightInfo(schema, descriptor, endpoints, total_records=rows, total_bytes=size)


def _endpoints(name: str, table: Table) -> list[fl.FlightEndpoint]:
    """One endpoint a range of about 256 MiB, so that clients read in parallel; each holds the fingerprint."""
    count = min(_MAX_ENDPOINTS, max(1, table.nbytes // _ENDPOINT_BYTES), max(1, table.rows))
    edges = [table.rows * number // count for number in range(count + 1)]
    whole = Ticket(name, shuffle=False, fingerprint=table.fingerprint)
    return [fl.FlightEndpoint(replace(whole, start=start, stop=stop).encode(), []) for start, stop in pairwise(edges)]


def _arguments(action: fl.Action) -> dict[str, Any]:
    """The JSON object in an action's body, empty where there is none."""
    try:
        found = json.loads(action.body.to_pybytes() or b"{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise NymphError(f"action {action.type!r}: expected a JSON object")
    return found


def _table_name(descriptor: fl.FlightDescriptor) -> str:
    """The table a descriptor names, by path parts or by command; UnicodeError is answered as a refusal."""
    if descriptor.descriptor_type == fl.DescriptorType.PATH:
        return "/".join(part.decode() for part in descriptor.path)
    return descriptor.command.decode()


def _existing(roots: Mapping[str, Path]) -> Mapping[str, Path]:
    for name, path in roots.items():
        if not name or "/" in name:
            raise NymphError(f"expected a root's name without '/', got {name!r}")
        if not Path(path).is_dir():
            raise NymphError(f"root {name!r}: there is no folder {str(path)!r}; run the pipeline that makes it")
    return roots


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
