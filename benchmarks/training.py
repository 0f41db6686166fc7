"""What the trainer costs on top of the arithmetic: against a bare PyTorch loop, a memcpy, and the machine's own limits.

Whatever is compared takes turns in one run, and medians of the rounds' ratios are reported. CPU seconds stand beside
seconds of the clock, because only they mean something on a busy machine. The first column of the table is the figure,
the second what the issue asks of it. A quiet machine of two cores takes six minutes.

    python benchmarks/training.py [--rounds 3] [--steps 30] [--no-ranks]
"""

import argparse
import json
import operator
import os
import statistics
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from training_checkpoints import checkpoints
from training_logging import logging_overhead
from training_parts import Clock, Cost, data_wait, make_job, measured, served, write_rows
from training_ranks import ranks, uneven

from nymph.flight.source import open_source
from nymph.model.multimodal import MultimodalModel
from nymph.model.objectives import compute, total
from nymph.training.data import StepReader
from nymph.training.job import Job
from nymph.training.loop import train

COUNTED = 50
"""Steps of a loop that count: one checkpoint falls among them."""
BEFORE = 10
"""Steps before those, while caches fill and the reader gets ahead."""
TARGETS: dict[str, tuple[Callable[[float, float], bool], float]] = {
    "loop_overhead": (operator.le, 0.03),
    "data_wait": (operator.le, 0.01),
    "logging_overhead": (operator.le, 0.002),
    "two_rank_scaling": (operator.ge, 1.7),
    "checkpoint_blocking_vs_memcpy": (operator.le, 1.5),
    "checkpoint_slowdown": (operator.le, 0.05),
    "uneven_efficiency": (operator.ge, 0.9),
}
NAMES = (*TARGETS, "restore_s")
"""Figures of the last line."""


def bare_loop(job: Job) -> Callable[[int], None]:
    """The same steps as `train`, written the short way: batches at hand, nothing watched, nothing kept."""
    torch.manual_seed(0)
    model = MultimodalModel(job.model).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    reader = StepReader(open_source(job.train_rows), job, cursor=0)
    batches = [reader.next()[0].micro[0].batch for _ in range(16)]
    reader.close()

    def run(steps: int) -> None:
        for step in range(steps):
            total(compute(model, batches[step % 16], job.objectives, torch.Generator()), job.objectives).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return run


def loop_overhead(folder: Path, rows: str, rounds: int) -> dict[str, float]:
    """The whole trainer (rows from Flight, health, events, a checkpoint every 50 steps) between two bare loops."""
    bare = bare_loop(make_job(folder, rows, "bare", COUNTED))
    bare(BEFORE)
    plain: list[Cost] = []
    whole: list[Cost] = []
    waits: list[float] = []
    with measured(plain):
        bare(COUNTED)
    for number in range(rounds):
        # The last checkpoint, at the end, is not counted, the one at step 50 is.
        job = make_job(folder, rows, f"whole-{number}", BEFORE + COUNTED + 1, checkpoint_every=COUNTED)
        train(job, clock := Clock())
        whole.append(clock.costs[BEFORE + COUNTED] - clock.costs[BEFORE])
        waits.append(data_wait(job))
        with measured(plain):
            bare(COUNTED)

    def overhead(kind: str) -> float:
        bares = [getattr(cost, kind) for cost in plain]
        around = [(before + after) / 2 for before, after in pairwise(bares)]
        return statistics.median(getattr(cost, kind) / base for cost, base in zip(whole, around, strict=True)) - 1

    return {
        "loop_overhead": overhead("wall"),
        "loop_overhead_cpu": overhead("cpu"),
        "loop_step_s": statistics.median(cost.wall for cost in plain) / COUNTED,
        "data_wait_one_rank": statistics.median(waits),
    }


def show(figures: dict[str, float]) -> None:
    """The table, and the one line for programs."""
    for name, value in figures.items():
        holds, target = TARGETS.get(name, (None, 0.0))
        sign = "" if holds is None else f"{'<=' if holds is operator.le else '>='} {target:g}"
        verdict = "" if holds is None else ("" if holds(value, target) else "missed")
        print(f"{name:34} {value:14,.5g}   {sign:9} {verdict}".rstrip())
    print(json.dumps({name: round(figures[name], 6) if name in figures else None for name in NAMES}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=30, help="of each run of ranks")
    parser.add_argument("--no-ranks", action="store_true", help="leave out what starts ranks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        rows = write_rows(folder / "rows" / "train")
        with served(folder / "rows") as address:
            figures = loop_overhead(folder, address, options.rounds)
            figures |= logging_overhead(folder)
            figures |= checkpoints(folder, rows, options.rounds)
            if not options.no_ranks:
                figures |= ranks(folder, address, options.rounds, options.steps)
                figures |= uneven(folder, address, min(options.steps, 8 + 3))
    show(figures)


if __name__ == "__main__":
    main()
