"""One run in flight: what happens in a step, and between two."""

import math
import sys
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import TracebackType

from nymph.errors import NymphError
from nymph.flight.source import RowSource
from nymph.training.devices import MemoryGauge, memory_bytes
from nymph.training.emergency import saves_alone, stand_in
from nymph.training.ending import Votes, ending, votes
from nymph.training.forecast import Forecast, Outcome
from nymph.training.health import Alert, MachineWatch, Monitor
from nymph.training.job import Job
from nymph.training.keeping import Keeper
from nymph.training.learner import Learner
from nymph.training.onlookers import Onlookers
from nymph.training.optimisation import set_learning_rate
from nymph.training.recovery import Recovery
from nymph.training.reporter import Reporter
from nymph.training.schedule import learning_rate_factor
from nymph.training.signals import Requests
from nymph.training.staged import StagedLearner
from nymph.training.stalls import StallWatch
from nymph.training.state import TrainingState
from nymph.training.step import StepResult
from nymph.training.updates import Update, Updates
from nymph.training.utilisation import Utilisation
from nymph.training.validation import Validation
from nymph.training.world import FAILED, SharedError, World, left_alone


class Run:
    """Everything that trains, put together from a job and a beginning."""

    def __init__(
        self,
        job: Job,
        world: World,
        source: RowSource,
        state: TrainingState,
        checkpoint: Path | None,
        reporter: Reporter,
        requests: Requests,
    ) -> None:
        self.job, self.world, self.state = job, world, state
        self._reporter, self._requests, self._source = reporter, requests, source
        self._learner = (StagedLearner if job.launch.stages else Learner)(job, world, state, checkpoint)
        self._keeper = Keeper(job, self._learner, reporter, world.main, checkpoint, state.step)
        self._updates = Updates(job, world, self._learner, source, state.cursor, self.alert)
        self._validation = Validation(job, world, self._learner)
        self._onlookers = Onlookers(job, world, self._learner, reporter, requests, self._validation.source)
        self._recovery = Recovery(job, world, state, self._learner, self._keeper)
        self._monitor = Monitor(job.health, state.monitor)
        self._machine = MachineWatch(job.health, Path(job.checkpoint_directory), world)
        self._stalls = self._watch_ranks() if world.size > 1 else None
        self._began_with = state.seconds
        self._started = time.perf_counter() - state.seconds
        self._forecast = Forecast(job.steps, job.evaluation_every, state.step, job.prediction)
        self._utilisation = Utilisation(job.model, self._learner.precision, world)
        self._memory = MemoryGauge(world.device)

    @property
    def last_checkpoint(self) -> Path | None:
        """The newest one on disk."""
        return self._keeper.last

    @property
    def outcome(self) -> Outcome | None:
        """How long this call of `train` took, against what was predicted; None where nothing was."""
        seconds = self.state.seconds - self._began_with
        return self._forecast.outcome(self.state.step, seconds, memory_bytes(self.world.device))

    def to_the_end(self) -> str:
        """Train until there is a reason to end; the status for the report."""
        try:
            self._begin()
            status, reason = self._steps()
        except SharedError as all_ranks:
            self._on_error(all_ranks.error, together=True)
            raise all_ranks.error from None
        except BaseException as error:
            self._on_error(error, together=self.world.size == 1)
            if self._stalls and left_alone(error) and (culprit := self._stalls.culprit()):
                raise NymphError(f"{FAILED.format(culprit[0])}{culprit[1]}") from error
            raise
        self._learner.average()
        self._save()
        if failure := self._keeper.wait():
            self.alert("checkpoint", failure)
            self._end("failed", failure)
            raise NymphError(f"{status}, but the last checkpoint is missing: {failure}")
        self._end(status, reason)
        if self._reporter.failure:
            raise self._reporter.failure
        return status

    def alert(self, rule: str, message: str) -> None:
        """Tell the log and the user."""
        self._reporter.alert(self.state.step, Alert(rule, message))

    def _begin(self) -> None:
        job, learner = self.job, self._learner
        self._reporter.start(job, self.world, self.state, learner.parameters, learner.precision, self.last_checkpoint)
        self._updates.remember()
        if job.preflight == "always" or (job.preflight == "gpu" and self.world.device.type == "cuda"):
            self._updates.preflight(self.state.cursor)

    def _steps(self) -> tuple[str, str]:
        if self.state.step == 0:
            self._evaluate()
        while True:
            if found := self._ending():
                return found
            self._step()
            self._between()

    def _step(self) -> None:
        state, begin = self.state, time.perf_counter()
        rate = set_learning_rate(
            self._learner.optimizer, learning_rate_factor(self.job.schedule, state.step, self.job.steps)
        )
        update = self._updates.next(state.step, self._monitor.judge)
        state.step += 1
        seconds = time.perf_counter() - begin + update.waited
        state.seconds = time.perf_counter() - self._started
        self._remember(update)
        if self._forecast.step(state.step, seconds):
            self._reporter.event("forecast", step=state.step, seconds=self._forecast.seconds(self.job.steps))
        self._check_health(update, seconds)
        if state.step % self.job.log_every == 0 or state.step == self.job.steps:
            self._log_step(update, rate, seconds)
        self._recover_if_needed(update.result)

    def _remember(self, update: Update) -> None:
        state, loss = self.state, update.result.loss
        state.cursor, state.validation_loss = update.rows.stop, None
        state.tokens += update.result.tokens
        if math.isfinite(loss):
            state.first_training_loss = loss if state.first_training_loss is None else state.first_training_loss
            state.last_training_loss = loss
        state.skipped += update.result.skipped is not None
        state.skipped_in_a_row = state.skipped_in_a_row + 1 if update.result.skipped else 0

    def _log_step(self, update: Update, rate: float, seconds: float) -> None:
        tokens_per_second = update.result.tokens / seconds
        self._reporter.step(
            self.state,
            update.result,
            learning_rate=rate,
            tokens_per_second=tokens_per_second,
            mfu=self._utilisation.of(tokens_per_second),
            data_wait=update.waited / seconds,
            memory_bytes=self._memory.read(),
            health=self._health(update.result),
        )

    def _health(self, result: StepResult) -> str:
        wrong = [*filter(None, [result.skipped]), *self._monitor.active, *self._machine.active]
        return ", ".join(dict.fromkeys(wrong)) or "OK"

    def _check_health(self, update: Update, seconds: float) -> None:
        rows = update.rows.start, update.rows.stop
        speed, wait = update.result.tokens / seconds, update.waited / seconds
        alerts = self._monitor.observe(update.result, rows, speed, wait)
        if self.state.step % self.job.health.state_every == 0:
            alerts += self._machine.look()
        for alert in alerts:
            self._reporter.alert(self.state.step, alert)

    def _recover_if_needed(self, result: StepResult) -> None:
        """Stop, or leave the rows since an earlier checkpoint out, where going on makes no sense."""
        problem = self._recovery.problem(result, self._monitor.spiking)
        if problem is None:
            return
        first, state = self._recovery.go_back(problem), self.state
        self._monitor = Monitor(self.job.health, state.monitor)
        self._updates.rewind(state.cursor)
        left_out = f"rows {first} to {state.cursor - 1} are left out"
        self.alert("rollback", f"{problem.text}: back to step {state.step}, {left_out}")
        self._save()

    def _between(self) -> None:
        """Evaluate and save where it is time to."""
        step, job = self.state.step, self.job
        self._onlookers.listen(step)
        look = _due(step, job.evaluation_every, job.steps)
        keep = bool(job.checkpoint_every and step % job.checkpoint_every == 0)
        if look or keep or step % job.launch.synchronise_every == 0:
            self._learner.average()
        better = self._evaluate() if look else False
        if better or keep:
            self._save(best=better)
        if failure := self._keeper.failure():
            self.alert("checkpoint", failure)

    def _ending(self) -> tuple[str, str] | None:
        """Status and reason where training must end now. Ranks agree, or one would wait for the others for ever.

        Raises:
            SharedError: A rank has no rows to go on with, or could not tell what it has done.
        """
        state, job, figures = self.state, self.job, self._onlookers.figures.addends()
        error = (self._updates.fetch() if state.step < job.steps else None) or self._reporter.failure
        if self._stalls:
            self._stalls.beat(state.step)
        waits, size = self.world.placed(self._updates.waited), self.world.size
        sums = self.world.sum([*waits, *votes(job, state, self._requests, error), *figures])
        self._updates.waited = max(sums[:size])  # the others wait for the rank that waits for rows
        said, figures = Votes(*sums[size : size + len(Votes._fields)]), sums[size + len(Votes._fields) :]
        self.world.end_together(said.failed, error)
        if said.save:
            self._learner.average()
            self._save()
            self._keeper.hurry()
        self._onlookers.report(state.step, figures, self._updates.reader)
        return ending(job, state, said, self._requests)

    def _evaluate(self) -> bool:
        """Log the validation loss; whether it is a new best."""
        found = self._validation.evaluate(self._updates.pieces)
        if found is None:
            return False
        better = self.state.evaluated(found.loss)
        self._reporter.evaluation(self.state.step, found, better)
        self._forecast.evaluation(self._validation.seconds)
        self.state.seconds = time.perf_counter() - self._started
        self._onlookers.sample(self.state.step)
        return better and self.state.step > 0

    def _save(self, best: bool = False) -> None:
        self.state.monitor = self._monitor.to_dict()
        self._keeper.save(self.state, best)

    def _on_error(self, error: BaseException, together: bool) -> None:
        """Save what is consistent, and say how it ended; `together` is whether all ranks are here."""
        if together:
            self._learner.average()
        if not self._learner.stepper.updating and self.state.step > 0:
            self._save_last(error, together)
        if failure := self._keeper.wait():
            self._tell("checkpoint", failure)
        if together:
            self.world.share(None)  # the launcher ends the others as soon as one is gone: not before the disk has it
        self._end("failed", f"{type(error).__name__}: {error}")

    def _save_last(self, error: BaseException, together: bool) -> None:
        if not together and not saves_alone(self.job, self.world, self.state.step, error):
            return
        try:
            if not together and not self.world.main:
                self._keeper = stand_in(self.job, self._learner, self._reporter)
            self._save()
        except Exception as second:  # a lost GPU cannot be copied from, and it is the first error that counts
            self._tell("checkpoint", f"step {self.state.step} could not be saved: {second}")

    def _end(self, status: str, reason: str) -> None:
        if self.outcome:
            self._reporter.event("prediction", step=self.state.step, **asdict(self.outcome))
        self._reporter.end(status, self.state.step, reason)

    def _watch_ranks(self) -> StallWatch:
        seconds, tell = self.job.health.stall_seconds, partial(self._tell, "stall")
        return StallWatch(self.world.store, self.world.rank, self.world.size, seconds, tell).start()

    def _tell(self, rule: str, message: str) -> None:
        """An alert, also where rank 0 may not be there to give it."""
        if self.world.main:
            self.alert(rule, message)
        else:
            print(f"rank {self.world.rank}: {rule}: {message}", file=sys.stderr, flush=True)

    def __enter__(self) -> "Run":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stalls:
            self._stalls.close()
        self._updates.close()
        self._source.close()
        self._validation.close()


def _due(step: int, every: int, last: int) -> bool:
    return step == last or bool(every and step % every == 0)
