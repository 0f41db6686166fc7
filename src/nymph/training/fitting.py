"""What a run has learned about memory: into how many micro-batches its rows must be cut.

With several ranks the one that runs out of memory cannot go on in the middle of a step, for the others wait in an
exchange of gradients. It writes the number down on its own machine and ends; the launcher starts all again, and all
take the largest number that any of them finds. It holds while the job asks for the same rows and micro-batches.
"""

from pathlib import Path
from typing import Any

from nymph.files import read_json, write_json
from nymph.training.job import Job

NOTE = "micro_batches.json"
"""In the run's directory."""


def noted(job: Job) -> int:
    """Micro-batches a step that this machine has noted for `job`, or those it asks for."""
    try:
        note = read_json(Path(job.run_directory) / NOTE)
    except FileNotFoundError:
        return job.gradient_accumulation
    return int(note["needed"]) if note["asked"] == _asked(job) else job.gradient_accumulation


def note(job: Job, needed: int) -> None:
    """Remember that the rows of a step need so many micro-batches."""
    write_json(Path(job.run_directory) / NOTE, {"asked": _asked(job), "needed": needed})


def _asked(job: Job) -> dict[str, Any]:
    return {"batch_rows": job.batch_rows, "gradient_accumulation": job.gradient_accumulation}
