"""Backups kept by a server: folders of files, such as checkpoints, that are there whole or not at all.

The client first tells what a folder holds (`Backups.missing`); the server answers what it lacks, and from which byte.
Each file is received into a hidden part that survives breaks on both sides, and gets its name when its sha256 is right.
When nothing is missing any more the folder's index is written, and only then can it be listed and fetched.
"""

import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.flight as fl

from nymph.errors import NymphError
from nymph.files import PART, fsync_directory, read_json, remove_leftovers, sha256_file, write_json
from nymph.flight.failures import BUSY
from nymph.flight.shards import Stamp, stamp
from nymph.flight.uploads import allowed_path, written

SCHEMA = pa.schema([("data", pa.binary())])
"""Files travel as one value a batch."""
BLOCK = 2 * 1024 * 1024
"""Bytes of one."""
_INDEX = ".files.json"
_MARK = b'{"backup":'


@dataclass(frozen=True)
class FileRequest:
    """A file of a backup to send (`do_put`) or to get (`do_get`), from byte `start` on."""

    backup: str
    """Folder: the backup root's name and folders, joined by "/"."""
    file: str
    start: int = 0
    size: int = 0
    sha256: str = ""

    def encode(self) -> bytes:
        """As compact JSON."""
        return json.dumps(self.__dict__, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes | None) -> "FileRequest | None":
        """The request in `data`, None where that is something else; NymphError where it is a wrong one."""
        if not data or not data.startswith(_MARK):
            return None
        try:
            found = cls(**json.loads(data))
        except (TypeError, ValueError, RecursionError):
            raise NymphError("expected a request for a file of a backup as JSON") from None
        texts = (found.backup, found.file, found.sha256)
        if not all(type(text) is str for text in texts) or not all(_count(n) for n in (found.start, found.size)):
            raise NymphError("expected texts for backup, file and sha256, and numbers >= 0 for start and size")
        return found


class Backups:
    """Backups under `roots` (name -> folder), files of at most `limit` bytes in messages of `message`. Thread-safe."""

    def __init__(self, roots: Mapping[str, Path], limit: int, message: int) -> None:
        for path in roots.values():
            path.mkdir(parents=True, exist_ok=True)
        self._roots = {name: path.resolve() for name, path in roots.items()}
        self._limit, self._message = limit, message
        self._digests: dict[Path, tuple[Stamp, str]] = {}
        self._lock = threading.Lock()

    def missing(self, backup: str, files: Mapping[str, Any]) -> dict[str, int]:
        """Which of `files` (name -> {size, sha256}) are not here yet, and the bytes of each that are.

        Where none is missing the backup is complete from now on. NymphError for names and sizes that are not allowed.
        """
        folder = allowed_path(self._roots, backup)
        lacking = {}
        for name, told in files.items():
            path, size, sha256 = self._checked(backup, name, told)
            if not path.is_file() or self._digest(path) != sha256:
                part = _part(path, sha256)
                lacking[name] = part.stat().st_size if part.is_file() else 0
                if lacking[name] > size:
                    part.unlink()
                    lacking[name] = 0
        if files and not lacking:
            remove_leftovers(folder)
            write_json(folder / _INDEX, dict(files))
        return lacking

    def receive(self, request: FileRequest, reader: fl.MetadataRecordBatchReader) -> int:
        """Append what `reader` brings to the file's part; the bytes. The last one gives the file its name."""
        told = {"size": request.size, "sha256": request.sha256}
        path, size, sha256 = self._checked(request.backup, request.file, told)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = _part(path, sha256)
        with written(request.file), part.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _again(f"{request.file!r} is being sent already") from None
            if file.tell() != request.start:
                raise _again(f"{request.file!r}: expected the bytes from {file.tell()} on, got {request.start}")
            for block in self._blocks(reader, size - request.start):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
            received = file.tell() - request.start
        if request.start + received == size:
            self._finish(part, path, sha256)
        return received

    def files(self, backup: str) -> dict[str, Any]:
        """The files of a complete backup; NymphError where there is none of that name."""
        try:
            return dict(read_json(allowed_path(self._roots, backup) / _INDEX))
        except (OSError, ValueError):
            raise NymphError(f"there is no complete backup {backup[:200]!r}") from None

    def names(self) -> list[str]:
        """All complete backups."""
        return sorted(
            "/".join([name, *index.parent.relative_to(root).parts])
            for name, root in self._roots.items()
            for index in root.rglob(_INDEX)
        )

    def drop(self, backup: str) -> None:
        """Delete a complete backup; killed half way, what is left of it is none. NymphError where there is none."""
        files, folder = self.files(backup), allowed_path(self._roots, backup)
        (folder / _INDEX).unlink()
        fsync_directory(folder)
        for name in files:
            self._path(backup, name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # other backups lie in it
            folder.rmdir()

    def send(self, request: FileRequest) -> Iterator[pa.RecordBatch]:
        """A file of a complete backup from byte `start` on."""
        if request.file not in self.files(request.backup):
            raise NymphError(f"backup {request.backup!r} has no file {request.file[:200]!r}")
        return blocks_of(self._path(request.backup, request.file), request.start)

    def _checked(self, backup: str, name: str, told: Any) -> tuple[Path, int, str]:
        size, sha256 = (told.get("size"), told.get("sha256")) if isinstance(told, Mapping) else (None, None)
        if size is None or not _count(size) or not isinstance(sha256, str) or len(sha256) != 64 or not sha256.isalnum():
            raise NymphError(f"file {name[:200]!r}: expected its size and its sha256 in hex")
        if size > self._limit:
            raise NymphError(f"file {name[:200]!r}: expected at most {self._limit} bytes, got {size}")
        return self._path(backup, name), size, sha256

    def _path(self, backup: str, name: str) -> Path:
        allowed_path(self._roots, backup)
        if "/" in name:
            raise NymphError(f"expected the name of a file without folders, got {name[:80]!r}")
        return allowed_path(self._roots, f"{backup}/{name}")

    def _blocks(self, reader: fl.MetadataRecordBatchReader, left: int) -> Iterator[pa.Buffer]:
        if not reader.schema.equals(SCHEMA):
            raise NymphError("expected one binary column 'data'")
        for chunk in reader:
            chunk.data.validate(full=True)
            for value in chunk.data.column(0):
                block = value.as_buffer() or b""
                left -= len(block)
                if len(block) > self._message or left < 0:
                    raise NymphError(f"expected messages of at most {self._message} bytes and no more than announced")
                yield block

    def _finish(self, part: Path, path: Path, sha256: str) -> None:
        if sha256_file(part) != sha256:
            part.unlink()
            raise NymphError(f"{path.name!r} arrived damaged and was dropped: send it again")
        os.replace(part, path)
        fsync_directory(path.parent)

    def _digest(self, path: Path) -> str:
        """sha256 of a file, read again only when it changed."""
        mark = stamp(path)
        with self._lock:
            known = self._digests.get(path)
        if known is None or known[0] != mark:
            known = mark, sha256_file(path)
            with self._lock:
                self._digests[path] = known
        return known[1]


def blocks_of(path: Path, start: int) -> Iterator[pa.RecordBatch]:
    """The bytes of a file from `start` on, one value a batch."""
    with path.open("rb") as file:
        file.seek(start)
        while block := file.read(BLOCK):
            yield pa.record_batch([pa.array([block], pa.binary())], schema=SCHEMA)


def _again(message: str) -> fl.FlightUnavailableError:
    """The error for what will be right later: the client asks again for what is missing."""
    return fl.FlightUnavailableError(message, extra_info=BUSY)


def _part(path: Path, sha256: str) -> Path:
    return path.with_name(f"{PART}{path.name}-{sha256[:32]}")


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0
