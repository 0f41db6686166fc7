"""What a checkpoint costs: the time it holds up training, the steps while it is written, and taking it up again."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from training_parts import LARGE, Cost, make_job, measured, median

from nymph.flight.source import open_source
from nymph.model.multimodal import MultimodalModel
from nymph.model.objectives import compute, total
from nymph.training.checkpoint import checkpoint_path, read_checkpoint
from nymph.training.data import StepReader
from nymph.training.job import Job
from nymph.training.optimisation import build_optimizer, load_optimizer_tensors, optimizer_tensors
from nymph.training.saving import Saved, Saver
from nymph.training.state import TrainingState

BEFORE = 25
"""Steps that are timed before each save; after it, all that begin before the checkpoint is on disk."""


class Step(NamedTuple):
    """One step of the training thread."""

    wall: float
    cpu: float
    """Of that thread alone."""


def checkpoints(folder: Path, rows: str, rounds: int) -> dict[str, float]:
    """Saves of a model of 41 million parameters between steps of that model, at most every 50 of them as by default."""
    torch.manual_seed(0)
    job = make_job(folder, rows, "large", 1, model=LARGE, batch_rows=1)
    model = MultimodalModel(LARGE).train()
    optimizer = build_optimizer(model, job.optimiser)
    step = _stepper(job, model, optimizer)
    written: list[Saved] = []

    def tensors() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        return dict(model.state_dict()), optimizer_tensors(model, optimizer)

    saver = Saver(folder / "large", 2, tensors, written.append)
    live = [tensor for part in tensors() for tensor in part.values()]
    copies = [torch.zeros_like(tensor) for tensor in live]
    memcpy: list[Cost] = []
    blocked: list[Cost] = []
    restore: list[Cost] = []
    quiet: list[list[Step]] = []
    following: list[list[Step]] = []
    for number in range(rounds + 1):  # the first one warms up
        with measured(memcpy):
            torch._foreach_copy_(copies, live)
        quiet.append(_steps(step, lambda taken: taken == BEFORE))
        with measured(blocked):
            saver.save(TrainingState(step=number + 1).to_dict(), {})
        following.append(_steps(step, lambda taken, number=number: taken > 0 and len(written) > number))
        saver.wait()
        with measured(restore):
            snapshot = read_checkpoint(checkpoint_path(folder / "large", number + 1))
            model.load_state_dict(dict(snapshot.model))
            load_optimizer_tensors(model, optimizer, snapshot.optimizer)
    assert not any(saved.error for saved in written), written
    lost = [
        sum(s.wall for s in after) - len(after) * _mean(before, "wall")
        for before, after in zip(quiet[1:], following[1:], strict=True)
    ]
    return {
        "checkpoint_parameters": float(sum(parameter.numel() for parameter in model.parameters())),
        "checkpoint_blocking_vs_memcpy": median(blocked[1:], "wall") / median(memcpy[1:], "wall"),
        "checkpoint_slowdown": _slowdown(quiet[1:], following[1:], "wall"),
        "checkpoint_slowdown_cpu": _slowdown(quiet[1:], following[1:], "cpu"),
        "checkpoint_slowed_steps": statistics.median(len(steps) for steps in following[1:]),
        "checkpoint_lost_s": statistics.median(lost),
        "checkpoint_write_s": statistics.median(saved.seconds for saved in written[1:]),
        "checkpoint_step_s": statistics.median(_mean(steps, "wall") for steps in quiet[1:]),
        "restore_s": median(restore[1:], "wall"),
        "restore_cpu_s": median(restore[1:], "cpu"),
    }


def _stepper(job: Job, model: MultimodalModel, optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    """A step on one row, always the same one."""
    reader = StepReader(open_source(job.train_rows), job, cursor=0)
    batch = reader.next()[0].micro[0].batch
    reader.close()

    def step() -> None:
        total(compute(model, batch, job.objectives, torch.Generator()), job.objectives).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _steps(step: Callable[[], None], enough: Callable[[int], bool]) -> list[Step]:
    """Steps until there are enough of them; `enough` is told how many there are."""
    taken: list[Step] = []
    while not enough(len(taken)):
        begin, cpu = time.perf_counter(), time.thread_time()
        step()
        taken.append(Step(time.perf_counter() - begin, time.thread_time() - cpu))
    return taken


def _mean(steps: list[Step], kind: str) -> float:
    return statistics.mean(getattr(step, kind) for step in steps)


def _slowdown(quiet: list[list[Step]], following: list[list[Step]], kind: str) -> float:
    """Of the steps after a save against those just before it, in the median of the rounds."""
    pairs = zip(quiet, following, strict=True)
    return statistics.median(_mean(after, kind) / _mean(before, kind) for before, after in pairs) - 1
