"""What was said of a run before it begins: the plan a user names, or the estimate made of it, as files.

An estimate lies beside the run's event log and is found by itself; a plan is a YAML file to be read and edited, and
counts where `training.plan` names it. Either is held against the fact when the run ends.
"""

import os
from dataclasses import replace
from pathlib import Path

import yaml

from nymph.errors import NymphError
from nymph.files import atomic_file, read_json, write_json
from nymph.training.estimate import RunEstimate
from nymph.training.job import Job
from nymph.training.launch import rank_count
from nymph.training.plan import Plan

ESTIMATE = "estimate.json"
"""Name of the file in a run directory."""

_HEAD = """\
# Made by `kedro plan`. You may edit rows (their sum is training.batch_rows), gradient_accumulation, precision and
# sharding (none, optimizer, full); or give each rank layers, and all the rows: these are then stages of the model.
# Train with it: kedro run --params training.plan={path}
"""


def with_predictions(job: Job, plan: str | None) -> Job:
    """`job` under the plan of file `plan`, or with what an estimate of as many ranks said of it."""
    if plan:
        return read_plan(plan).apply(job)
    path = Path(job.run_directory) / ESTIMATE
    if not path.exists():
        return job
    estimate = RunEstimate.from_dict(read_json(path))
    return replace(job, prediction=estimate.prediction) if estimate.ranks == rank_count(job) * job.launch.nodes else job


def write_estimate(job: Job, estimate: RunEstimate) -> Path:
    """Keep an estimate where the run it is of will find it."""
    path = Path(job.run_directory) / ESTIMATE
    write_json(path, estimate.to_dict())
    return path


def write_plan(path: Path, plan: Plan) -> None:
    """Write a plan for people to read."""
    with atomic_file(path, "w") as file:
        file.write(_HEAD.format(path=path) + yaml.safe_dump(plan.to_dict(), sort_keys=False))


def read_plan(path: str | os.PathLike[str]) -> Plan:
    """The plan in a file; NymphError where there is none or it is not one."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise NymphError(f"cannot read the plan {os.fspath(path)!r}: {error}; make one with `kedro plan`") from None
    return Plan.from_dict(values)
