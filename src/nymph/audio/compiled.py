"""Numba with one set of flags: no Python objects, no GIL, machine code cached on disk beside the source.

The first call after an install compiles for some seconds; later processes load the cache. Of fast-math only what
leaves every bit of a result as it is, so that maxima become vector instructions: callers pass no NaN, and -0 is 0.
"""

from collections.abc import Callable
from typing import TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """`function`, compiled at its first call."""
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"nnan", "nsz"})(function))
