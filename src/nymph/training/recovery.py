"""Where going on makes no sense: what is wrong, and the way back to a checkpoint from before it.

Every rank finds the same problem in the same numbers, so all go back, or stop, together.
"""

from pathlib import Path
from typing import NamedTuple

from nymph.errors import NymphError
from nymph.training.checkpoint import read_state
from nymph.training.health import EPISODE
from nymph.training.job import Job
from nymph.training.keeping import Keeper
from nymph.training.learner import Learner
from nymph.training.state import TrainingState
from nymph.training.step import StepResult
from nymph.training.world import SharedError, World


class Problem(NamedTuple):
    """Why a run cannot go on as it is."""

    text: str
    steps: int
    """Last steps that are part of it."""


class Recovery:
    """Finds problems in the `state` of a run, and takes it back."""

    def __init__(self, job: Job, world: World, state: TrainingState, learner: Learner, keeper: Keeper) -> None:
        self._rules, self._world, self._state = job.health, world, state
        self._learner, self._keeper = learner, keeper

    def problem(self, result: StepResult, spiking: int) -> Problem | None:
        """What is wrong after a step; `spiking` is for how many steps the loss has been a spike."""
        if self._state.step % self._rules.state_every == 0 and (found := self._hidden()):
            return found
        if (skipped := self._state.skipped_in_a_row) >= self._rules.skips_in_a_row:
            self._state.skipped_in_a_row = 0  # whoever continues has looked into it
            advice = "lower the learning rate, or look at the rows the alerts name"
            return Problem(f"{skipped} steps in a row had to be skipped ({result.skipped}); {advice}", skipped)
        if self._rules.rollbacks and spiking >= EPISODE:
            return Problem(f"a loss spike has lasted for {EPISODE} steps", EPISODE)
        return None

    def go_back(self, problem: Problem) -> int:
        """Take up a checkpoint from before `problem`; the first row it had not seen.

        Raises:
            SharedError: The problem, where the rules allow no more of it or there is no such checkpoint.
        """
        allowed = self._state.rollbacks < self._rules.rollbacks
        path = self._earlier(self._state.step - problem.steps) if allowed else None
        if path is None:
            raise SharedError(NymphError(problem.text))
        earlier = TrainingState.from_dict(self._world.share(read_state(path) if self._world.main else None))
        self._learner.load(path)
        if earlier.scaler:
            self._learner.stepper.scaler.load_state_dict(earlier.scaler)
        self._state.go_back(earlier)
        return earlier.cursor

    def _hidden(self) -> Problem | None:
        """NaN or Inf in weights or optimizer state, where no loss shows it."""
        try:
            self._learner.check_finite()
        except NymphError as error:
            self._keeper.never(self._state.step)
            advice = f"continue from {self._keeper.last} with a lower learning rate or clip"
            return Problem(f"{error} at step {self._state.step}; {advice}", 0)
        return None

    def _earlier(self, step: int) -> Path | None:
        """Rank 0's checkpoint of `step` or before, on every rank."""
        path = self._keeper.go_back(step) if self._world.main else None
        found = self._world.share(str(path) if path else None)
        return Path(found) if found else None
