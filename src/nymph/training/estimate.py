"""How long a job will take and what it will need, from a probe of real steps rather than from arithmetic.

The probe trains the job's own model on the job's own rows for some seconds and forgets the result. Warm-up steps are
left out. What it cannot see are later changes of the machine: other work, heat, a slower network.
"""

import math
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from nymph.flight.source import open_source
from nymph.model.multimodal import MultimodalModel
from nymph.training.data import StepReader
from nymph.training.devices import memory_bytes, pick_device, pick_precision
from nymph.training.evaluation import evaluate
from nymph.training.job import Job
from nymph.training.optimisation import build_optimizer, optimizer_tensors
from nymph.training.several import open_rows
from nymph.training.step import Stepper
from nymph.training.world import World

WARM_UP = 2
"""First steps, which allocate and compile, that no figure counts."""


@dataclass(frozen=True)
class RunEstimate:
    """What a whole run costs on this machine with one rank."""

    seconds: float
    """Of all steps, evaluations and blocking parts of checkpoints."""
    step_seconds: float
    """Median of the probed steps."""
    evaluation_seconds: float
    """Of one evaluation."""
    tokens: int
    """Positions but padding."""
    tokens_per_second: float
    epochs: float
    memory_bytes: int
    """Peak on the device; on a CPU of the whole process."""
    checkpoint_bytes: int
    """Of one checkpoint; `keep_last` + 2 of them must fit."""
    disk_free_bytes: int
    joules: float | None
    """Of the GPU, None where nothing measures it."""
    probed_steps: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def estimate_run(job: Job, probe_seconds: float = 30.0) -> RunEstimate:
    """Probe `job` for about `probe_seconds` and scale up to its `steps`.

    Raises:
        NymphError: The rows, the device or the job do not work; better now than after a night.
    """
    device = pick_device(job.device)
    world, precision = World(device), pick_precision(job.precision, device)
    torch.manual_seed(job.seed)
    model = MultimodalModel(job.model).to(device).train()
    model.checkpoint_blocks(job.gradient_checkpointing)
    optimizer = build_optimizer(model, job.optimiser)
    stepper = Stepper(model, job.objectives, optimizer, world, precision, job.clip)
    source = open_rows(job.train_rows, **job.connection)
    reader = StepReader(source, job, cursor=0, pin=device.type == "cuda")
    try:
        times, tokens, watts = _probe(reader, stepper, probe_seconds, device)
    finally:
        reader.close()
        source.close()
    evaluation = _evaluation_seconds(job, model, world, precision)
    step = median(times)
    seconds = job.steps * step + _evaluations(job) * evaluation
    tensors = [*model.state_dict().values(), *optimizer_tensors(model, optimizer).values()]
    per_step = sum(tokens) / len(tokens)
    return RunEstimate(
        seconds=seconds,
        step_seconds=step,
        evaluation_seconds=evaluation,
        tokens=round(job.steps * per_step),
        tokens_per_second=per_step / step,
        epochs=job.steps * job.batch_rows / source.rows,
        memory_bytes=memory_bytes(device),
        checkpoint_bytes=sum(tensor.nbytes for tensor in tensors),
        disk_free_bytes=_free(Path(job.checkpoint_directory)),
        joules=median(watts) * seconds if watts else None,
        probed_steps=len(times),
    )


def _probe(
    reader: StepReader, stepper: Stepper, seconds: float, device: torch.device
) -> tuple[list[float], list[int], list[float]]:
    """Seconds and tokens of each step after the warm-up, and readings of the GPU's power in watts."""
    times: list[float] = []
    tokens: list[int] = []
    watts: list[float] = []
    deadline = math.inf
    while len(times) < WARM_UP + 1 or time.perf_counter() < deadline:
        begin = time.perf_counter()
        result = stepper(reader.next()[0], lambda loss, norm: None)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - begin)
        tokens.append(result.tokens)
        watts += _watts(device)
        if len(times) == WARM_UP:
            deadline = time.perf_counter() + seconds
    return times[WARM_UP:], tokens[WARM_UP:], watts[WARM_UP:]


def _watts(device: torch.device) -> list[float]:
    if device.type != "cuda":
        return []
    try:
        return [torch.cuda.power_draw(device) / 1000]
    except Exception:  # NVML bindings are optional, and their errors are of many kinds
        return []


def _evaluation_seconds(job: Job, model: MultimodalModel, world: World, precision: str) -> float:
    """Of one whole evaluation, measured on at most 32 rows."""
    if not job.validation_rows:
        return 0.0
    source = open_source(job.validation_rows, **job.connection)
    try:
        rows = min(source.rows, job.evaluation_rows or source.rows)
        probed = min(rows, 32)
        begin = time.perf_counter()
        evaluate(model, source, job.objectives, world, job.batch_rows, probed, precision)
        return (time.perf_counter() - begin) * rows / max(1, probed)
    finally:
        source.close()


def _evaluations(job: Job) -> int:
    """How often `train` evaluates: before the first step, every so often, and at the end."""
    every = job.evaluation_every
    return 2 if not every else 1 + job.steps // every + bool(job.steps % every)


def _free(directory: Path) -> int:
    while not directory.exists():
        directory = directory.parent
    return shutil.disk_usage(directory).free
