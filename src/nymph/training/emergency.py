"""Who writes the last checkpoint where one rank ends in the middle of a step, and the others with it.

No rank gets past the exchange of gradients without the one that fails, so each still has the weights of the last
complete step, and where these are whole any of them can write the checkpoint. The one that fails does it before it
dies, while the others wait: over NCCL a rank that is left alone is ended before it can do anything. Rank 0 does where
another one was killed and its own exchange fails with an error. Such a checkpoint has no line in the event log, which
is rank 0's, and no backup.
"""

from dataclasses import replace
from pathlib import Path

from nymph.training.checkpoint import checkpoint_path
from nymph.training.job import Job
from nymph.training.keeping import Keeper
from nymph.training.learner import Learner
from nymph.training.reporter import Reporter
from nymph.training.world import World, left_alone


def saves_alone(job: Job, world: World, step: int, error: BaseException) -> bool:
    """Whether this rank, which ends with `error`, is the one to save `step` without the others."""
    if not job.launch.replicas:  # shards and stages are gathered by all ranks or none
        return False
    return (world.main or _stands_in(job, world, step, error)) and world.claim(f"emergency/{step}")


def _stands_in(job: Job, world: World, step: int, error: BaseException) -> bool:
    """Whether this rank has what rank 0 has: its disk, and its weights also where ranks train apart."""
    same = world.beside_main and job.launch.synchronise_every == 1
    return same and not left_alone(error) and not checkpoint_path(Path(job.checkpoint_directory), step).exists()


def stand_in(job: Job, learner: Learner, reporter: Reporter) -> Keeper:
    """A keeper that writes, on a rank that is not rank 0."""
    return Keeper(replace(job, backup=""), learner, reporter, writes=True, begun_from=None, step=-1)
