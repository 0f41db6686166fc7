"""The validation rows of a run, and how good its model is on them."""

import time

from nymph.flight.source import open_source
from nymph.training.evaluation import Evaluation, evaluate
from nymph.training.job import Job
from nymph.training.learner import Learner
from nymph.training.world import World


class Validation:
    """The validation rows of a job, open as long as its run."""

    def __init__(self, job: Job, world: World, learner: Learner) -> None:
        self._job, self._world, self._learner = job, world, learner
        self.source = open_source(job.validation_rows, **job.reach) if job.validation_rows else None
        self.seconds = 0.0
        """Of the last evaluation."""

    def evaluate(self, pieces: int) -> Evaluation | None:
        """The model's losses on these rows, as many at once as in one of `pieces` micro-batches of a step; None where
        there are none. Every rank must call it."""
        if self.source is None:
            return None
        job, learner, begin = self._job, self._learner, time.perf_counter()
        found = evaluate(
            learner.model,
            self.source,
            job.objectives,
            self._world,
            max(1, job.batch_rows // (self._world.reader[1] * pieces)),
            job.evaluation_rows,
            learner.precision,
            losses=learner.stepper.objectives,
        )
        self.seconds = time.perf_counter() - begin
        return found

    def close(self) -> None:
        """Close the rows."""
        if self.source is not None:
            self.source.close()
