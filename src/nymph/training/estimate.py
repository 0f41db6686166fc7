"""How long a job will take and what it will need, from a probe of real steps rather than from arithmetic.

The probe trains the job's own model on the job's own rows for some seconds and forgets the result. Warm-up steps are
left out. Where a step takes longer than the probe may, steps of two rows tell what one of all rows would take. Of
several ranks it measures one with its share of the rows; exchanging gradients, other work on the machine, heat and a
slower network come on top. The run itself says at its end how wrong the estimate was.
"""

import math
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch

from nymph.flight.source import RowSource, open_source
from nymph.plain import from_plain
from nymph.training.data import StepReader
from nymph.training.devices import free_bytes, memory_bytes, pick_device
from nymph.training.evaluation import evaluate
from nymph.training.forecast import Prediction
from nymph.training.job import Job, Launch
from nymph.training.learner import Learner
from nymph.training.power import PowerMeter
from nymph.training.several import open_rows
from nymph.training.state import TrainingState
from nymph.training.world import World

WARM_UP = 2
"""First steps, which allocate and compile, that no figure counts."""
_EVALUATED_ROWS = 32


@dataclass(frozen=True)
class RunEstimate:
    """What a whole run costs on this machine."""

    seconds: float
    """Of all steps and evaluations."""
    step_seconds: float
    """Median of the probed steps."""
    evaluation_seconds: float
    """Of one evaluation."""
    steps: int
    tokens: int
    """Positions but padding."""
    tokens_per_second: float
    epochs: float
    ranks: int
    device: str
    precision: str
    parameters: int
    memory_bytes: int
    """Peak on the device; on a CPU of the whole process."""
    checkpoint_bytes: int
    """Of one checkpoint; `keep_last` + 2 of them must fit."""
    disk_free_bytes: int
    joules: float | None
    """Of all ranks' devices, None where nothing measures their power."""
    probed_steps: int
    memory_free_bytes: int = 0
    """What the device had for it when the probe began; 0 is unknown."""
    probed_rows: int = 0
    """Rows of a probed step where a whole one would have taken too long; 0 is all."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "RunEstimate":
        """An estimate from plain values; NymphError where they are not one."""
        return from_plain(cls, values, "estimate")

    @property
    def prediction(self) -> Prediction:
        """What a run is held against."""
        return Prediction(
            source="estimate",
            step_seconds=self.step_seconds,
            evaluation_seconds=self.evaluation_seconds,
            memory_bytes=self.memory_bytes,
        )


class _Probe(NamedTuple):
    """What probed steps say of a step of the job, as one rank makes it."""

    seconds: float
    tokens: float
    memory_bytes: int
    steps: int
    rows: int = 0
    """Of a probed step; 0 is all."""


def estimate_run(job: Job, probe_seconds: float = 30.0, ranks: int = 1) -> RunEstimate:
    """Probe one rank of `job` for about `probe_seconds` and scale up to its `steps` and to `ranks` such ranks.

    Raises:
        NymphError: The rows, the device or the job do not work; better now than after a night.
    """
    mine = replace(job, batch_rows=math.ceil(job.batch_rows / ranks), launch=Launch())
    world = World(pick_device(job.device))
    free = free_bytes(world.device) + memory_bytes(world.device)
    learner = Learner(mine, world, TrainingState())
    power = PowerMeter(world.device)
    with _rows(mine) as source:
        rows = source.rows
    probe = _probe(mine, learner, power, probe_seconds)
    evaluated = max(1, min(_EVALUATED_ROWS, int(probe_seconds * mine.batch_rows / probe.seconds)))
    prediction = Prediction(
        source="estimate",
        step_seconds=probe.seconds,
        evaluation_seconds=_evaluation_seconds(mine, learner, world, evaluated) / ranks,
    )
    seconds = prediction.seconds(0, job.steps, job.steps, job.evaluation_every)
    tensors = [tensor for part in learner.tensors() for tensor in part.values()]
    return RunEstimate(
        seconds=seconds,
        step_seconds=prediction.step_seconds,
        evaluation_seconds=prediction.evaluation_seconds,
        steps=job.steps,
        tokens=round(job.steps * ranks * probe.tokens),
        tokens_per_second=ranks * probe.tokens / probe.seconds,
        epochs=job.steps * job.batch_rows / rows,
        ranks=ranks,
        device=str(world.device),
        precision=learner.precision,
        parameters=learner.parameters,
        memory_bytes=max(probe.memory_bytes, memory_bytes(world.device)),
        checkpoint_bytes=sum(tensor.nbytes for tensor in tensors),
        disk_free_bytes=_free(Path(job.checkpoint_directory)),
        joules=None if power.watts is None else power.watts * seconds * ranks,
        probed_steps=probe.steps,
        memory_free_bytes=free,
        probed_rows=probe.rows,
    )


@contextmanager
def _rows(job: Job) -> Iterator[RowSource]:
    source = open_rows(job.train_rows, job.train_weights or None, **job.reach)
    try:
        yield source
    finally:
        source.close()


def _probe(job: Job, learner: Learner, power: PowerMeter, seconds: float) -> _Probe:
    """Steps of all rows or, where these would take too long, of one and of two."""
    if job.batch_rows <= 2:
        return _whole(job, learner, power, seconds)
    one = _whole(_of_rows(job, 1), learner, power, 0.0)
    if one.seconds * job.batch_rows * (WARM_UP + 1) <= seconds:
        return _whole(job, learner, power, seconds)
    two = _whole(_of_rows(job, 2), learner, power, seconds)
    share = job.batch_rows / 2
    more = math.ceil(job.batch_rows / job.gradient_accumulation) - 2
    memory = two.memory_bytes + more * (two.memory_bytes - one.memory_bytes)
    return _Probe(share * two.seconds, share * two.tokens, memory, two.steps, rows=2)


def _of_rows(job: Job, rows: int) -> Job:
    return replace(job, batch_rows=rows, gradient_accumulation=1)


def _whole(job: Job, learner: Learner, power: PowerMeter, seconds: float) -> _Probe:
    with _rows(job) as source:
        times, tokens = _steps(job, source, learner, power, seconds)
    return _Probe(median(times), sum(tokens) / len(tokens), memory_bytes(learner.device), len(times))


def _steps(
    job: Job, source: RowSource, learner: Learner, power: PowerMeter, seconds: float
) -> tuple[list[float], list[int]]:
    """Seconds and tokens of each step after the warm-up."""
    times: list[float] = []
    tokens: list[int] = []
    deadline = math.inf
    reader = StepReader(source, job, cursor=0, pin=learner.device.type == "cuda")
    try:
        while len(times) < WARM_UP + 1 or time.perf_counter() < deadline:
            begin = time.perf_counter()
            tokens.append(learner.stepper(reader.next()[0], lambda loss, norm: None).tokens)
            if learner.device.type == "cuda":
                torch.cuda.synchronize(learner.device)
            times.append(time.perf_counter() - begin)
            power.read()
            if len(times) == WARM_UP:
                deadline = time.perf_counter() + seconds
    finally:
        reader.close()
    return times[WARM_UP:], tokens[WARM_UP:]


def _evaluation_seconds(job: Job, learner: Learner, world: World, most: int) -> float:
    """Of one whole evaluation, measured on `most` of its rows."""
    if not job.validation_rows:
        return 0.0
    source = open_source(job.validation_rows, **job.reach)
    try:
        rows = min(source.rows, job.evaluation_rows or source.rows)
        probed = min(rows, most)
        begin = time.perf_counter()
        evaluate(learner.model, source, job.objectives, world, job.batch_rows, probed, learner.precision)
        return (time.perf_counter() - begin) * rows / max(1, probed)
    finally:
        source.close()


def _free(directory: Path) -> int:
    while not directory.exists():
        directory = directory.parent
    return shutil.disk_usage(directory).free
