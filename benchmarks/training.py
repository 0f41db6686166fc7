"""What the trainer costs on top of the arithmetic: against a bare PyTorch loop, a memcpy, and itself without a part.

Everything runs in one process, interleaved round by round, and medians are reported; CPU seconds beside wall seconds,
because only they mean something on a busy machine. Ranks are processes, started by the trainer itself.

    python benchmarks/training.py [--rounds 3] [--steps 50] [--no-ranks]
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pyarrow.parquet as pq
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "training"))
from conftest import table

from nymph.flight.source import open_source
from nymph.model.config import AttentionConfig, ModelConfig, ObjectiveConfig, WindowConfig
from nymph.model.multimodal import MultimodalModel
from nymph.model.objectives import compute, total
from nymph.model.presets import preset
from nymph.training import launch as launching
from nymph.training.checkpoint import checkpoint_path, read_checkpoint
from nymph.training.console import Silence
from nymph.training.data import StepReader
from nymph.training.events import EVENTS, EventLog, read_events
from nymph.training.job import Job, Launch
from nymph.training.launch import _rank as launch_rank
from nymph.training.loop import train
from nymph.training.optimisation import build_optimizer, load_optimizer_tensors, optimizer_tensors
from nymph.training.plan import plan_step
from nymph.training.probe import RankSpeed
from nymph.training.saving import Saver
from nymph.training.state import TrainingState
from nymph.training.step import Stepper

ATTENTION = AttentionConfig(type="gqa", heads=4, key_value_heads=2)
MODEL = ModelConfig(
    vocabulary_size=4096, context_length=128, width=256, layers=4, attention=ATTENTION, window=WindowConfig(size=64)
)
LARGE = replace(preset("debug", "gqa"), vocabulary_size=32_768)
"""About 42 million parameters, 0.5 GB with AdamW's state."""
HANDICAPS = (0.1, 0.3)
"""Seconds more a row that each of two unequal ranks takes."""


@dataclass(frozen=True)
class Cost:
    """Seconds of something."""

    wall: float
    cpu: float


@contextmanager
def measured(costs: list[Cost]) -> Iterator[None]:
    """Append what the block cost; CPU seconds of all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    costs.append(Cost(time.perf_counter() - wall, time.process_time() - cpu))


def median(costs: list[Cost], kind: str) -> float:
    return statistics.median(getattr(cost, kind) for cost in costs)


def write_rows(folder: Path, rows: int = 512) -> str:
    """Training rows of 128 positions, from eight copies of the tests' rows of 16."""
    import numpy as np
    import pyarrow as pa

    from nymph.sequences.schema import row_schema

    small, schema = table(rows), row_schema(MODEL.context_length, "uint16")
    columns = []
    for field in schema:
        column = small[field.name].combine_chunks()
        if not pa.types.is_fixed_size_list(field.type):
            columns.append(column)
            continue
        values = column.flatten().to_numpy().reshape(rows, -1)
        columns.append(pa.FixedSizeListArray.from_arrays(pa.array(np.tile(values, 8).reshape(-1)), type=field.type))
    folder.mkdir()
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), folder / "00000.parquet", write_page_checksum=True)
    return os.fspath(folder)


def make_job(folder: Path, rows: str, name: str, steps: int, **options: Any) -> Job:
    values: dict[str, Any] = {
        "train_rows": rows,
        "run_directory": os.fspath(folder / name),
        "checkpoint_directory": os.fspath(folder / name / "checkpoints"),
        "model": MODEL,
        "steps": steps,
        "batch_rows": 8,
        "device": "cpu",
        "console_every": 0,
    }
    return Job(**{**values, **options})


def bare_loop(job: Job) -> Callable[[], None]:
    """The same steps as `train`, written the short way: batches at hand, nothing watched, nothing kept."""
    torch.manual_seed(0)
    model = MultimodalModel(job.model).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    reader = StepReader(open_source(job.train_rows), job, cursor=0)
    batches = [reader.next()[0].micro[0].batch for _ in range(16)]
    reader.close()

    def run() -> None:
        for step in range(job.steps):
            total(compute(model, batches[step % 16], job.objectives, torch.Generator()), job.objectives).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return run


def trained_steps(job: Job) -> tuple[list[dict[str, Any]], float]:
    """Step events of a run, and the seconds from its first to its last step."""
    events = [event for event in read_events(Path(job.run_directory) / EVENTS) if event["kind"] == "step"]
    return events, events[-1]["time"] - events[0]["time"]


def loop_overhead(folder: Path, rows: str, rounds: int, steps: int) -> dict[str, float]:
    """The whole trainer (rows, health, events, one checkpoint) against the bare loop."""
    bare = bare_loop(make_job(folder, rows, "bare", steps))
    bare()
    plain: list[Cost] = []
    whole: list[Cost] = []
    waits: list[float] = []
    for number in range(rounds):
        with measured(plain):
            bare()
        job = make_job(folder, rows, f"whole-{number}", steps, checkpoint_every=steps)
        train(job, Clock(clock := []))
        events, _ = trained_steps(job)
        share = (len(events) - 1) / len(events)
        whole.append(Cost((clock[-1][0] - clock[0][0]) / share, (clock[-1][1] - clock[0][1]) / share))
        waits.append(statistics.mean(event["data_wait"] for event in events[1:]))
    return {
        "loop_overhead": median(whole, "wall") / median(plain, "wall") - 1,
        "loop_overhead_cpu": median(whole, "cpu") / median(plain, "cpu") - 1,
        "data_wait": statistics.median(waits),
        "step_s": median(plain, "wall") / steps,
    }


class Clock(Silence):
    """Notes wall and CPU time at each step."""

    def __init__(self, times: list[tuple[float, float]]) -> None:
        self.times = times

    def step(self, event: Any) -> None:
        self.times.append((time.perf_counter(), time.process_time()))


def logging_overhead(folder: Path) -> float:
    """Share of a second that ten step events cost."""
    costs: list[Cost] = []
    losses = dict.fromkeys(ObjectiveConfig().weights(), 1.2345)
    with EventLog(folder / "log" / EVENTS) as log:
        for _ in range(5):
            with measured(costs):
                for step in range(1000):
                    log.write("step", step=step, loss=2.3456, losses=losses, learning_rate=1e-3, gradient_norm=0.5)
    return 10 * median(costs, "cpu") / 1000


def checkpoints(folder: Path, rounds: int) -> dict[str, float]:
    """Blocking time of a save against a copy of the same bytes, its effect on the next steps, and restoring."""
    job = make_job(folder, "", "large", 1, model=LARGE)
    model = MultimodalModel(LARGE)
    optimizer = build_optimizer(model, job.optimiser)
    failures: list[str] = []
    saver = Saver(
        folder / "large",
        2,
        lambda: (dict(model.state_dict()), optimizer_tensors(model, optimizer)),
        lambda saved: failures.append(saved.error) if saved.error else None,
    )
    live = [*model.state_dict().values(), *optimizer_tensors(model, optimizer).values()]
    copies = [torch.zeros_like(tensor) for tensor in live]
    memcpy: list[Cost] = []
    blocked: list[Cost] = []
    quiet: list[Cost] = []
    following: list[Cost] = []
    restore: list[Cost] = []
    for number in range(rounds + 1):
        with measured(memcpy):
            torch._foreach_copy_(copies, live)
        quiet.append(steps_like())
        state = TrainingState(step=number + 1)
        with measured(blocked):
            saver.save(state.to_dict(), {})
        following.append(steps_like())
        saver.wait()
        with measured(restore):
            snapshot = read_checkpoint(checkpoint_path(folder / "large", number + 1))
            model.load_state_dict(dict(snapshot.model))
            load_optimizer_tensors(model, optimizer, snapshot.optimizer)
    assert not failures, failures
    return {
        "parameters": float(sum(parameter.numel() for parameter in model.parameters())),
        "checkpoint_blocking_vs_memcpy": median(blocked[1:], "wall") / median(memcpy[1:], "wall"),
        "checkpoint_slowdown": median(following[1:], "wall") / median(quiet[1:], "wall") - 1,
        "checkpoint_slowdown_cpu": median(following[1:], "cpu") / median(quiet[1:], "cpu") - 1,
        "checkpoint_steps_s": median(quiet[1:], "wall"),
        "restore_s": median(restore[1:], "wall"),
        "restore_cpu_s": median(restore[1:], "cpu"),
    }


def steps_like(products: int = 240) -> Cost:
    """What matrix products cost that take as long as ten steps of such a model; CPU seconds of this thread alone."""
    left = torch.ones(1024, 1024)
    wall, cpu = time.perf_counter(), time.thread_time()
    for _ in range(products):
        left = (left @ left).clamp(max=1.0)
    return Cost(time.perf_counter() - wall, time.thread_time() - cpu)


def ranks(folder: Path, rows: str, steps: int) -> dict[str, float]:
    """Speed of two ranks against one, each on one thread; what four of them wait for rows."""
    speeds, waits = {}, {}
    for count in (1, 2, 4):
        job = make_job(folder, rows, f"ranks-{count}", steps, checkpoint_every=0, launch=Launch(ranks=count))
        train(replace(job, batch_rows=8 * count), Silence())
        events, _ = trained_steps(job)
        speeds[count] = tokens_per_second(job)
        waits[count] = statistics.median(event["data_wait"] for event in events[1:])
    return {"two_rank_scaling": speeds[2] / speeds[1], "data_wait_4_ranks": waits[4]}


def tokens_per_second(job: Job) -> float:
    """Of all ranks, from the first step to the last."""
    events, seconds = trained_steps(job)
    return float((events[-1]["tokens"] - events[0]["tokens"]) / seconds)


def slow_rank(values: dict[str, Any], places: list[int]) -> dict[str, Any]:
    """A rank of the launcher on a device that needs `HANDICAPS` seconds longer for each row."""
    alone = len(places) == 1
    seconds = HANDICAPS[int(values["run_directory"][-1]) if alone else int(os.environ["RANK"])]
    losses = Stepper._losses

    def slower(self: Stepper, batch: Any, seed: int) -> Any:
        time.sleep(seconds * len(batch["tokens"]))
        return losses(self, batch, seed)

    Stepper._losses = slower  # type: ignore[method-assign]
    return launch_rank(values, places)


def uneven(folder: Path, rows: str, steps: int) -> dict[str, float]:
    """Two unequal ranks that share rows as a plan says, against the sum of what each does alone."""
    alone = []
    with patch.object(launching, "_rank", slow_rank):
        for rank in range(len(HANDICAPS)):
            job = make_job(folder, rows, f"alone-{rank}", steps, batch_rows=8, checkpoint_every=0)
            launching.launch(job, Silence())
            alone.append(tokens_per_second(job))
    speeds = [RankSpeed("cpu", speed / MODEL.context_length, 0, 1, 1 << 30, {"fp32": 1.0}, 1.0) for speed in alone]
    job = plan_step(speeds, 16).apply(make_job(folder, rows, "together", steps, batch_rows=16, checkpoint_every=0))
    with patch.object(launching, "_rank", slow_rank):
        train(job, Silence())
    return {"uneven_efficiency": tokens_per_second(job) / sum(alone)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--no-ranks", action="store_true", help="leave out what starts processes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    figures: dict[str, float | None] = {"two_rank_scaling": None, "uneven_efficiency": None}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        rows = write_rows(folder / "rows")
        figures |= loop_overhead(folder, rows, options.rounds, options.steps)
        figures["logging_overhead"] = logging_overhead(folder)
        figures |= checkpoints(folder, options.rounds)
        if not options.no_ranks:
            figures |= ranks(folder, rows, options.steps)
            figures |= uneven(folder, rows, min(options.steps, 8))
    for name, value in figures.items():
        print(f"{name:32} {'not measured' if value is None else format(value, ',.5g')}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
