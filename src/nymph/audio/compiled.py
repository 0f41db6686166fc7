"""Numba with one set of flags: no Python objects, no GIL, machine code cached on disk beside the source.

The first call after an install compiles for some seconds; later processes load the cache. No fast-math: results must
stay equal to librosa's to the last bit.
"""

from collections.abc import Callable
from typing import TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """`function`, compiled at its first call."""
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))
