"""Freed memory stays with the process, so that the next batch does not pay for it again.

glibc gives large freed blocks back to the kernel; a stream of 1 MiB batches then takes a page fault every 4 KiB, and
half of a client's processor time goes into the kernel clearing pages. The price of keeping it: a process that once
held much looks large for the rest of its life. Elsewhere than on glibc this does nothing.
"""

import ctypes
from functools import cache

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_LARGEST_MMAP_THRESHOLD = 32 * 1024 * 1024


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
    }
    return all(mallopt(name, value) for name, value in settings.items())
