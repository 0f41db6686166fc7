"""Starting the ranks of a job on this machine, with restarts, through torch's own elastic launcher."""

import os

from nymph.training.job import Job
from nymph.training.report import Report


def must_launch(job: Job) -> bool:
    """Whether the job wants several processes and none were started yet."""
    return "RANK" not in os.environ and (job.launch.ranks != 1 or job.launch.nodes > 1)


def launch(job: Job) -> Report:
    """Train in `launch.ranks` processes; the report of rank 0."""
    raise NotImplementedError
