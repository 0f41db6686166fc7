"""Why a run ends between two steps: it is done, somebody asked, or a limit was reached."""

from typing import NamedTuple

from nymph.training.job import Job
from nymph.training.signals import Requests
from nymph.training.state import TrainingState


class Votes(NamedTuple):
    """What one rank knows of reasons to end, as numbers that are summed over ranks: these then decide alike."""

    save: float
    """A checkpoint is wanted now."""
    signal: float
    late: float
    stop: float
    """Asked for in the control file."""
    failed: float
    """It cannot go on."""


def votes(job: Job, state: TrainingState, requests: Requests, error: Exception | None) -> Votes:
    """This rank's, which `error` keeps from going on; a request for a checkpoint is taken up by it."""
    wanted, requests.checkpoint = requests.checkpoint, False
    late = bool(job.max_seconds) and state.seconds >= job.max_seconds
    return Votes(*map(float, (wanted, requests.end is not None, late, requests.stop, error is not None)))


def ending(job: Job, state: TrainingState, all_votes: Votes, requests: Requests) -> tuple[str, str] | None:
    """Status and reason where training must end now."""
    if state.step >= job.steps:
        return "finished", f"all {job.steps} steps"
    if all_votes.signal:
        return "killed", f"signal {requests.end or ''}".strip()
    if all_votes.stop:
        return "stopped", "asked to; run again to continue"
    if all_votes.late:
        return "stopped", f"max_seconds {job.max_seconds} reached"
    if job.max_tokens and state.tokens >= job.max_tokens:
        return "stopped", f"max_tokens {job.max_tokens} reached"
    if job.patience and state.evaluations_without_gain >= job.patience:
        state.finished = f"no better validation loss in {job.patience} evaluations"
        return "stopped", state.finished
    return None
