"""Who opens files where nobody should: the kernel's own account (inotify), of every process and language."""

import ctypes
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_LIBC = ctypes.CDLL(None, use_errno=True)
_MODIFY, _OPEN, _CREATE, _DELETE = 0x2, 0x20, 0x100, 0x200
_NAME = slice(16, None)


@contextmanager
def untouched(folders: Iterable[Path]) -> Iterator[None]:
    """Within this nothing in `folders` is opened, made, changed or deleted; AssertionError names what was."""
    events = _allowed(_LIBC.inotify_init1(os.O_NONBLOCK))
    try:
        for folder in folders:
            _allowed(_LIBC.inotify_add_watch(events, os.fsencode(folder), _MODIFY | _OPEN | _CREATE | _DELETE))
        yield
        assert _first(events) is None
    finally:
        os.close(events)


def _allowed(result: int) -> int:
    if result < 0:
        pytest.skip(f"this machine watches no more folders: {os.strerror(ctypes.get_errno())}")
    return result


def _first(events: int) -> str | None:
    """The file of the first event, None where there is none."""
    try:
        return os.read(events, 4096)[_NAME].split(b"\0")[0].decode() or "the folder itself"
    except BlockingIOError:
        return None
