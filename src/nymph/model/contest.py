"""The quickest of several kernels that mean the same, by trial on the device at hand.

Where no table says which kernel is faster, two passes forward and backward do. A kernel that raises, or whose numbers
differ from the first one's, is out: a wrong or missing compiler costs a line of output, not a run.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

_ROUNDS = 5
_TOLERANCE = 2e-2
"""Of the largest number: what half precision leaves."""


def quickest(runs: Mapping[str, Callable[[], Sequence[Tensor]]], clock: Callable[[], float]) -> tuple[str, str]:
    """The name of the quickest of `runs` and the reason in words; the first is the one that must work.

    Each gives its output and gradients. `clock` gives seconds once the device has nothing left to do.
    """
    expected = next(iter(runs.values()))()
    seconds: dict[str, float] = {}
    notes: list[str] = []
    for name, run in runs.items():
        try:
            if not _agree(run(), expected):
                notes.append(f"{name} gave other numbers")
                continue
            seconds[name] = statistics.median(_lap(run, clock) for _ in range(_ROUNDS))
        except Exception as error:  # a compiler raises whatever it likes
            notes.append(f"{name} failed ({type(error).__name__})")
    best = min(seconds, key=lambda name: seconds[name])
    notes[:0] = [f"{name} took {1e3 * spent:.2f} ms" for name, spent in seconds.items()]
    return best, "by trial " + ", ".join(notes)


def _lap(run: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    run()
    return clock() - start


def _agree(found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    pairs = zip(found, expected, strict=True)
    return all(
        bool((a - b).abs().max() <= _TOLERANCE * b.abs().max().clamp(min=torch.finfo(b.dtype).eps)) for a, b in pairs
    )
