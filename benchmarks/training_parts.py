"""What the parts of `training.py` share: rows, a server of them, jobs, costs, and the two models that are trained."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "training"))
from conftest import table

from nymph.model.config import AttentionConfig, ModelConfig, WindowConfig
from nymph.model.presets import preset
from nymph.sequences.schema import row_schema
from nymph.training.console import Silence
from nymph.training.events import EVENTS, read_events
from nymph.training.job import Job

ATTENTION = AttentionConfig(type="gqa", heads=4, key_value_heads=2)
MODEL = ModelConfig(
    vocabulary_size=4096, context_length=128, width=256, layers=4, attention=ATTENTION, window=WindowConfig(size=64)
)
"""About 5 million parameters."""
LARGE = replace(preset("debug", "gqa"), vocabulary_size=32_768, context_length=128)
"""About 41 million parameters, 0.5 GB with AdamW's state."""
WARM = 3
"""First steps of a run that are not counted."""
SERVER = """
import sys
from pathlib import Path
from nymph.flight.server import FlightServer
server = FlightServer({"rows": Path(sys.argv[1])}, port=0)
print(server.port, flush=True)
server.serve()
"""


@dataclass(frozen=True)
class Cost:
    """Seconds of something."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> "Cost":
        """Of this process up to now, all threads."""
        return cls(time.perf_counter(), time.process_time())

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(self.wall - other.wall, self.cpu - other.cpu)


@contextmanager
def measured(costs: list[Cost]) -> Iterator[None]:
    """Append what the block cost."""
    begin = Cost.now()
    yield
    costs.append(Cost.now() - begin)


def median(costs: list[Cost], kind: str) -> float:
    return statistics.median(getattr(cost, kind) for cost in costs)


class Clock(Silence):
    """Notes the cost up to each step of a run in this process."""

    def __init__(self) -> None:
        self.costs: list[Cost] = []

    def step(self, event: Any) -> None:
        self.costs.append(Cost.now())


def write_rows(folder: Path, rows: int = 512) -> str:
    """Training rows of 128 positions, from eight copies of the tests' rows of 16."""
    small, schema = table(rows), row_schema(MODEL.context_length, "uint16")
    columns = []
    for field in schema:
        column = small[field.name].combine_chunks()
        if not pa.types.is_fixed_size_list(field.type):
            columns.append(column)
            continue
        values = column.flatten().to_numpy().reshape(rows, -1)
        columns.append(pa.FixedSizeListArray.from_arrays(pa.array(np.tile(values, 8).reshape(-1)), type=field.type))
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), folder / "00000.parquet", write_page_checksum=True)
    return os.fspath(folder)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Address of the table in `folder/train` on a Flight server in a process of its own."""
    process = subprocess.Popen([sys.executable, "-c", SERVER, folder], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"grpc://127.0.0.1:{process.stdout.readline().strip()}/rows/train"
    finally:
        process.terminate()
        process.wait()


def make_job(folder: Path, rows: str, name: str, steps: int, **options: Any) -> Job:
    values: dict[str, Any] = {
        "train_rows": rows,
        "run_directory": os.fspath(folder / name),
        "checkpoint_directory": os.fspath(folder / name / "checkpoints"),
        "model": MODEL,
        "steps": steps,
        "batch_rows": 8,
        "device": "cpu",
        "checkpoint_every": 0,
        "console_every": 0,
    }
    return Job(**{**values, **options})


def step_events(job: Job) -> list[dict[str, Any]]:
    """What a run said of its steps, but for the first few."""
    events = [event for event in read_events(Path(job.run_directory) / EVENTS) if event["kind"] == "step"]
    return events[WARM:]


def data_wait(job: Job) -> float:
    """Share of a run's time that one of its ranks waited for rows, and the others for it."""
    return statistics.mean(event["data_wait"] for event in step_events(job))
