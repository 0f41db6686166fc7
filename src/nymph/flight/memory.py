"""Clients keep freed memory, so that the next batch does not pay for it again; servers return a stranger's.

glibc gives large freed blocks back to the kernel; a stream of 2 MiB batches then takes a page fault every 4 KiB, and
half of a client's processor time goes into the kernel clearing pages. The price of keeping it: a process that once
held much looks large for the rest of its life. By default every thread of gRPC would come to keep some of its own,
which grows for hours, so there are two pools for all. Elsewhere than on glibc this does nothing.
"""

import contextlib
import ctypes
import threading
from functools import cache

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8
_LARGEST_MMAP_THRESHOLD = 32 * 1024 * 1024
_returning = threading.Lock()


@cache
def keep_freed_memory() -> bool:
    """Tell the allocator once; False where there is no glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    settings = {
        _M_TRIM_THRESHOLD: 1024**3,
        _M_TOP_PAD: 64 * 1024**2,
        _M_MMAP_THRESHOLD: _LARGEST_MMAP_THRESHOLD,
        _M_ARENA_MAX: 2,
    }
    return all(mallopt(name, value) for name, value in settings.items())


def return_freed_memory_soon(delay: float = 0.5) -> None:
    """Give freed memory back to the kernel in `delay` seconds, when the call that held it is over.

    glibc keeps what gRPC joined an oversized request from. However many ask, one timer runs at a time.
    """
    if _returning.acquire(blocking=False):
        timer = threading.Timer(delay, _return_freed_memory)
        timer.daemon = True
        timer.start()


def _return_freed_memory() -> None:
    _returning.release()
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
