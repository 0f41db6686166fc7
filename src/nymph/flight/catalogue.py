"""The tables under a server's roots: found by listing, never by joining a stranger's words to a path.

Every folder that holds Parquet is a table, named root/sub/folder; every Parquet file is one too, by its full name, and
is not listed. Opening a table may mean caching it, so it happens on a thread of its own while clients are told to wait.
"""

import os
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from pathlib import Path

import pyarrow as pa

from nymph.errors import NymphError, nearest
from nymph.flight import cache
from nymph.flight.shards import HIDDEN, find_shards, open_parquet
from nymph.flight.tables import Table

_LOOK_AGAIN = 1.0
_WAIT = 2.0
_ROOTS = ""


class Preparing(Exception):  # noqa: N818
    """The table is being cached."""


class Catalogue:
    """Tables by name. Safe for threads."""

    def __init__(self, roots: Mapping[str, Path], cache_limit: int | None = None) -> None:
        self._roots = {name: Path(path).resolve() for name, path in roots.items()}
        self._limit = cache_limit
        self._lock = threading.Lock()
        self._found: dict[str, Path] = {}
        self._open: dict[str, Future[Table]] = {}
        self._looked: dict[str, float] = {}
        self._pool = ThreadPoolExecutor(2, "flight-prepare")
        self.refresh()

    def refresh(self) -> list[str]:
        """Look for tables again, at those that are open too; the names of all folders that are tables."""
        found = {name: path for root, folder in self._roots.items() for name, path in _scan(root, folder)}
        with self._lock:
            self._found, self._looked = found, {_ROOTS: time.monotonic()}
        return self.names()

    def names(self) -> list[str]:
        """The folders that are tables."""
        with self._lock:
            return sorted(name for name, path in self._found.items() if path.is_dir())

    def table(self, name: str) -> Table:
        """The table as it is on disk now; Preparing where that takes longer than two seconds, else NymphError."""
        path = self._path(name)
        with self._lock:
            future = self._open.get(name)
            if future is None or self._outdated(name, future):
                future = self._open[name] = self._pool.submit(self._opened, path)
                self._looked[name] = time.monotonic()
        try:
            return future.result(_WAIT)
        except NotYet:
            raise Preparing(f"table {name!r} is being cached; ask again") from None
        except NymphError as error:
            raise NymphError(self.hide(str(error))) from None

    def peek(self, name: str) -> tuple[pa.Schema, int, int]:
        """Schema, rows and bytes of a table; rows and bytes are -1 where it is not open yet. NymphError if damaged."""
        future = self._open.get(name)
        if future is not None and future.done() and not future.exception():
            table = future.result()
            return table.schema, table.rows, table.nbytes
        shards = find_shards(self._path(name))
        if not shards:
            raise NymphError(f"table {name!r} is gone")
        with open_parquet(shards[0]) as file:
            return file.schema_arrow, -1, -1

    def preparing(self) -> int:
        """Tables that are being cached or wait for it."""
        return sum(not future.done() for future in list(self._open.values()))

    def hide(self, message: str) -> str:
        """`message` without this machine's paths."""
        for name, path in self._roots.items():
            message = message.replace(str(path), name)
        return message

    def close(self) -> None:
        """Start nothing new."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _path(self, name: str) -> Path:
        if name not in self._found and time.monotonic() - self._looked.get(_ROOTS, 0.0) > _LOOK_AGAIN:
            self.refresh()
        path = self._found.get(name)
        if path is None:
            raise NymphError(f"there is no table {name!r}{nearest(name, self._found)}")
        return path

    def _outdated(self, name: str, future: "Future[Table]") -> bool:
        """Whether to open again: it failed, or a shard changed. Looked at once a second at most."""
        if not future.done() or time.monotonic() - self._looked.get(name, 0.0) < _LOOK_AGAIN:
            return False
        self._looked[name] = time.monotonic()
        return future.exception() is not None or _stale(future.result())

    def _opened(self, path: Path) -> Table:
        table = Table(path)
        if self._limit is not None:
            tables = [future.result() for future in list(self._open.values()) if _good(future)]
            folders = [each.cache_folder for each in [*tables, table]]
            cache.evict(folders, self._limit, keep=[table.cache_path])
        return table


def _good(future: "Future[Table]") -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _stale(table: Table) -> bool:
    try:
        return table.stale()
    except NymphError:
        return True


def _scan(root: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """Name and path of every table under `folder`; hidden ones are none.

    Links are not followed: they may lead out of it.
    """
    for here, folders, files in os.walk(folder, followlinks=False):
        folders[:] = [name for name in folders if not name.startswith(HIDDEN)]
        relative = Path(here).relative_to(folder)
        name = "/".join([root, *relative.parts])
        shards = [file for file in files if file.endswith(".parquet") and not file.startswith(HIDDEN)]
        shards = [file for file in shards if not (Path(here) / file).is_symlink()]
        if shards:
            yield name, Path(here)
        for file in shards:
            yield f"{name}/{file}", Path(here) / file
