"""Keeping folders of files, such as checkpoints, on a Flight server, and getting them back.

Both ways go on where they were after any break, within the connection's patience; files are known by their sha256, so
one that is there already is not sent again. A backup is whole or not there; a fetched folder likewise.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.flight as fl

from nymph.errors import NymphError
from nymph.files import atomic_directory, sha256_file
from nymph.flight.backups import SCHEMA, FileRequest, blocks_of
from nymph.flight.connection import Address, Clients, Connection
from nymph.flight.failures import WIRE_ERRORS
from nymph.flight.stream import Patience

Result = TypeVar("Result")


@dataclass(frozen=True)
class Transfer:
    """What went over the wire."""

    files: int
    """Files of the folder."""
    sent: int
    """Files that were not there yet."""
    bytes: int
    """Bytes of those."""


def upload_folder(folder: Path, location: str, **connection: Any) -> Transfer:
    """Keep `folder` (its files, not its folders) as the backup `location`: `grpc://host:port/root/run/step-00000100`.

    The server keeps it whole or not at all; what arrived before a break stays there and is not sent again. `connection`
    holds fields of `Connection`; its token needs the scope `write`. NymphError where the folder is empty, the server
    refuses or nothing arrives for `patience` seconds.
    """
    files = {path.name: _told(path) for path in sorted(folder.iterdir()) if path.is_file() and path.name[0] != "."}
    if not files:
        raise NymphError(f"nothing to keep in {str(folder)!r}: expected files")
    server = _Server(location, connection)
    first = server.patiently(partial(server.missing, files))
    while server.patiently(partial(server.send_missing, folder, files)):
        pass  # until the server says that nothing is missing: then the backup is complete
    server.close()
    return Transfer(len(files), len(first), sum(files[name]["size"] - start for name, start in first.items()))


def fetch_folder(location: str, folder: Path, **connection: Any) -> Transfer:
    """Get the backup `location` into the new folder `folder`, every byte verified; NymphError as in `upload_folder`."""
    server = _Server(location, connection)
    files = server.patiently(lambda: server.act("backup_files", backup=server.backup)["files"])
    with atomic_directory(folder) as part:
        for name, told in files.items():
            path = part / Path(name).name  # a hostile server's name must not lead elsewhere
            server.patiently(partial(server.get, path, told["size"]))
            if sha256_file(path) != told["sha256"]:
                raise NymphError(f"{location}: {name!r} arrived damaged; check the server's disk, fetch another backup")
    server.close()
    return Transfer(len(files), len(files), sum(told["size"] for told in files.values()))


def drop_backup(location: str, **connection: Any) -> None:
    """Delete the backup `location`; NymphError as in `upload_folder`, and where there is none."""
    server = _Server(location, connection)
    server.patiently(lambda: server.act("backup_drop", backup=server.backup))
    server.close()


def list_backups(location: str, **connection: Any) -> list[str]:
    """Complete backups at `grpc://host:port` or below `grpc://host:port/root/run`, sorted by name."""
    server = _Server(location, connection)
    names: list[str] = server.patiently(lambda: server.act("backups")["backups"])
    server.close()
    return [name for name in names if not server.backup or f"{name}/".startswith(f"{server.backup}/")]


class _Server:
    """The server that holds one backup."""

    def __init__(self, location: str, connection: Mapping[str, Any]) -> None:
        address = Address.parse(location)
        self.backup = address.table
        self._clients = Clients(address.server, Connection(**connection))
        self._patience = Patience(self._clients.options.patience)
        self.close = self._clients.close

    def patiently(self, attempt: Callable[[], Result]) -> Result:
        """`attempt` until it succeeds; NymphError where it cannot, or nothing came for longer than the patience."""
        self._patience.progress()
        while True:
            try:
                return attempt()
            except WIRE_ERRORS as error:
                time.sleep(self._patience.pause(self._clients.server, error))

    def act(self, action: str, **arguments: Any) -> dict[str, Any]:
        """The answer to an action."""
        with self._clients.borrow() as client:
            request = fl.Action(action, json.dumps(arguments).encode())
            (answer,) = client.do_action(request, self._clients.call_options())
            return dict(json.loads(answer.body.to_pybytes()))

    def missing(self, files: Mapping[str, Any]) -> dict[str, int]:
        """Files the server lacks, and the bytes of each that it has; none makes the backup complete."""
        return dict(self.act("backup", backup=self.backup, files=files)["missing"])

    def send_missing(self, folder: Path, files: Mapping[str, Any]) -> bool:
        """Send the rest of what is missing; whether anything was."""
        missing = self.missing(files)
        for name, start in missing.items():
            request = FileRequest(self.backup, name, start, files[name]["size"], files[name]["sha256"])
            self._send(folder / name, request)
        return bool(missing)

    def get(self, path: Path, size: int) -> None:
        """The rest of a file, after what an earlier attempt wrote."""
        with self._clients.borrow() as client, path.open("ab") as file:
            request = FileRequest(self.backup, path.name, file.tell())
            for chunk in client.do_get(fl.Ticket(request.encode()), self._clients.call_options()):
                chunk.data.validate(full=True)
                with _here(path):
                    for value in chunk.data.column(0):
                        file.write(value.as_buffer())
                self._patience.progress()
            if file.tell() < size:
                raise fl.FlightUnavailableError("the file ended early")

    def _send(self, path: Path, request: FileRequest) -> None:
        descriptor = fl.FlightDescriptor.for_command(request.encode())
        with self._clients.borrow() as client:
            writer, _ = client.do_put(descriptor, SCHEMA, self._clients.call_options())
            with writer:
                for block in _read(path, request.start):
                    writer.write_batch(block)
                    self._patience.progress()


def _read(path: Path, start: int) -> Iterator[pa.RecordBatch]:
    with _here(path):
        yield from blocks_of(path, start)


@contextmanager
def _here(path: Path) -> Iterator[None]:
    """Trouble with this machine's disk is no reason to wait for the server."""
    try:
        yield
    except OSError as error:
        raise NymphError(f"cannot read or write {str(path)!r}: {error.strerror}") from None


def _told(path: Path) -> dict[str, Any]:
    return {"size": path.stat().st_size, "sha256": sha256_file(path)}
