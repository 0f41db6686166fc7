"""What telling of each step costs the step: metrics, event log and console line while a live dashboard reads along."""

import statistics
import time
from pathlib import Path

import psutil
import torch
from dashboard import Crowd, dashboard, write_run
from training_parts import LARGE, Cost

from nymph.model.config import ObjectiveConfig
from nymph.training.console import Lines
from nymph.training.devices import MemoryGauge
from nymph.training.events import EVENTS, EventLog
from nymph.training.reporter import Reporter
from nymph.training.state import TrainingState
from nymph.training.step import StepResult
from nymph.training.utilisation import Utilisation
from nymph.training.world import World

PERIOD = 0.1
"""Seconds of a step."""
STEPS = 60


class Unseen(Lines):
    """Makes the console's line of every tenth step, and throws it away."""

    def message(self, text: str) -> None: ...


def logging_overhead(folder: Path) -> dict[str, float]:
    """Share of steps of 0.1 s that telling of them takes, by the clock, and the dashboard's CPU beside it."""
    runs, world = folder / "watched", World(torch.device("cpu"))
    utilisation, losses = Utilisation(LARGE, "fp32", world), dict.fromkeys(ObjectiveConfig().weights(), 1.2345)
    state, left, memory = TrainingState(), torch.ones(256, 256), MemoryGauge(world.device)
    costs: list[Cost] = []
    write_run(runs, "live", 1000)
    with dashboard(runs) as (address, pid), EventLog(runs / "live" / EVENTS) as log:
        page, server, reporter = Crowd(address, 1), psutil.Process(pid), Reporter(log, Unseen())
        before, begin = sum(server.cpu_times()[:2]), time.perf_counter()
        for step in range(1, STEPS + 1):
            while time.perf_counter() < begin + step * PERIOD:
                left = (left @ left).clamp(max=1.0)  # what a step does to the caches
            state.step = 1000 + step
            result = StepResult(2.3456, losses, losses, 0.5, 1024, None)
            wall, cpu = time.perf_counter(), time.thread_time()
            reporter.step(
                state,
                result,
                learning_rate=1e-3,
                tokens_per_second=1e4,
                mfu=utilisation.of(1e4),
                data_wait=0.001,
                memory_bytes=memory.read(),
                health="OK",
            )
            costs.append(Cost(time.perf_counter() - wall, time.thread_time() - cpu))
        busy, seconds = sum(server.cpu_times()[:2]) - before, time.perf_counter() - begin
        assert page.leave(), "the dashboard's page heard of no step"
    return {
        "logging_overhead": statistics.median(cost.wall for cost in costs) / PERIOD,
        "logging_overhead_cpu": statistics.mean(cost.cpu for cost in costs) / PERIOD,
        "dashboard_core_share": busy / seconds,
    }
