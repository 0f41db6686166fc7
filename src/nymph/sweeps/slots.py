"""Where trials run: each in a process of its own on its own GPU, or on its share of the cores."""

import ctypes
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nymph.training.job import Job

OUTPUT = "trial.log"
"""What a trial prints, in its run directory."""


@dataclass(frozen=True)
class Slot:
    """Room for one trial at a time: what its process finds in its environment."""

    environment: dict[str, str]


def find_slots(parallel: int, gpus: int) -> list[Slot]:
    """`parallel` slots, or one for each GPU; more of them than GPUs share these in turn."""
    count = parallel or max(1, gpus)
    if not gpus:
        threads = max(1, len(os.sched_getaffinity(0)) // count)
        return [Slot({"OMP_NUM_THREADS": str(threads)}) for _ in range(count)]
    return [Slot({"CUDA_VISIBLE_DEVICES": str(number % gpus)}) for number in range(count)]


class Attempt:
    """A trial at work, as a process."""

    def __init__(self, job: Job, slot: Slot) -> None:
        folder = Path(job.run_directory)
        path = folder / "job.json"
        job.write(path)
        self._output = folder / OUTPUT
        with open(self._output, "wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "nymph.training", str(path)],
                env={**os.environ, **slot.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_end_with_parent,
            )
        self.slot = slot

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self.process.poll() is not None

    def stop(self) -> None:
        """Ask for an end with a checkpoint."""
        if not self.ended:
            self.process.terminate()

    def result(self) -> tuple[dict[str, Any], str]:
        """The training's report and an empty string, or nothing and what it said last."""
        lines = self._output.read_text(encoding="utf-8", errors="replace").strip().splitlines() or [""]
        if self.process.returncode:
            return {}, f"exit status {self.process.returncode}: {lines[-1]}"
        return json.loads(lines[-1]), ""


def _end_with_parent() -> None:
    """Linux: a trial is asked to end when its sweep dies, or the next sweep would find it still at work."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
