"""Writing checkpoints without stopping the training.

`save` copies the tensors into buffers allocated once and returns; a thread at lower priority hashes, writes and fsyncs
them, a little at a time unless somebody waits for it. It costs the state's size in host memory once more, and the
checkpoint is on disk some steps later: at most three quarters of those to the next save, which would wait for it. A
failed write is reported and leaves older checkpoints as they are.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from nymph.errors import NymphError
from nymph.training.checkpoint import Snapshot, prune, write_checkpoint
from nymph.training.optimisation import non_finite
from nymph.training.pacing import Pace
from nymph.training.sharding import whole
from nymph.training.threads import start_helper

WRITING = 0.75
"""Of the time from save to save, what a write may be stretched to."""


@dataclass(frozen=True)
class Saved:
    """A checkpoint on disk, or why there is none."""

    step: int
    path: Path | None
    bytes: int
    seconds: float
    """From the call of `save` to the rename."""
    best: bool
    error: str = ""


class Saver:
    """Writes the checkpoints of one run, one at a time.

    Args:
        directory: Of the run's checkpoints.
        keep_last: Checkpoints kept besides the best.
        tensors: The live model and optimizer tensors by name, the same at every save.
        report: Told of each finished or failed write, from the writing thread if `asynchronous`.
        asynchronous: Copy and write in a thread, or write at once.
    """

    def __init__(
        self,
        directory: Path,
        keep_last: int,
        tensors: Callable[[], tuple[Mapping[str, Tensor], Mapping[str, Tensor]]],
        report: Callable[[Saved], None],
        asynchronous: bool = True,
    ) -> None:
        self._directory, self._keep_last, self._report = directory, keep_last, report
        self._tensors = tensors
        self._staged: tuple[dict[str, Tensor], dict[str, Tensor]] | None = None
        self._writing: tuple[threading.Thread, Pace] | None = None
        self._last = time.perf_counter()  # of a save; until there is one, the time from here tells how often they come
        if asynchronous:
            self._staged = _like(tensors()[0]), _like(tensors()[1])

    def save(self, state: Mapping[str, Any], config: Mapping[str, Any], best: bool = False) -> None:
        """Save the tensors as they are now, with `state` (which holds `step`) and `config`."""
        begin = time.perf_counter()
        self.wait()
        model, optimizer = self._tensors()
        if self._staged is None:
            model, optimizer = ({name: whole(t) for name, t in tensors.items()} for tensors in (model, optimizer))
            self._write(Snapshot(state["step"], model, optimizer, state, config), begin, best)
            return
        for live, staged in zip((model, optimizer), self._staged, strict=True):
            _copy(live, staged)
        snapshot = Snapshot(state["step"], *self._staged, state, config)
        pace = Pace(snapshot.bytes, WRITING * (begin - self._last))
        self._last = begin
        self._writing = start_helper(partial(self._write_gently, snapshot, begin, best, pace), "nymph-saver"), pace

    def wait(self) -> None:
        """Return once the last checkpoint is on disk, or has failed."""
        self.hurry()
        if self._writing is not None:
            self._writing[0].join()
            self._writing = None

    def hurry(self) -> None:
        """Write what is being written at full speed: somebody wants it now."""
        if self._writing is not None:
            self._writing[1].hurry()

    def _write_gently(self, snapshot: Snapshot, begin: float, best: bool, pace: Pace) -> None:
        # There, of this thread alone. A third of a step's claim on a core; much less, and a crowded machine starves
        # the write until the next save has to wait for it, and an ordinary user cannot raise it again.
        if sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 5)
        self._write(snapshot, begin, best, pace.rest)

    def _write(
        self, snapshot: Snapshot, begin: float, best: bool, after_piece: Callable[[int], None] | None = None
    ) -> None:
        try:
            _refuse_non_finite(snapshot)
            path = write_checkpoint(self._directory, snapshot, after_piece)
            prune(self._directory, self._keep_last)
        except Exception as error:  # whatever it is, the thread must say it rather than die of it
            seconds = time.perf_counter() - begin
            self._report(Saved(snapshot.step, None, snapshot.bytes, seconds, best, f"{type(error).__name__}: {error}"))
            return
        self._report(Saved(snapshot.step, path, snapshot.bytes, time.perf_counter() - begin, best))


def _like(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Buffers for copies, their pages touched now rather than during the first save."""
    pinned = any(tensor.is_cuda for tensor in tensors.values())
    return {name: torch.zeros(tensor.shape, dtype=tensor.dtype, pin_memory=pinned) for name, tensor in tensors.items()}


def _refuse_non_finite(snapshot: Snapshot) -> None:
    """A state with NaN or Inf must not push a good one out of the last ones kept."""
    for tensors in (snapshot.model, snapshot.optimizer):
        if names := non_finite(tensors):
            raise NymphError(f"NaN or Inf in {names[0]!r} and {len(names) - 1} more tensors")


def _copy(live: Mapping[str, Tensor], staged: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        if any(isinstance(tensor, DTensor) for tensor in live.values()):
            for name, tensor in live.items():
                staged[name].copy_(whole(tensor))
            return
        torch._foreach_copy_([staged[name] for name in live], list(live.values()))
