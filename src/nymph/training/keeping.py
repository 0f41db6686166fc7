"""Which states of a run are kept: at most one a step, never a damaged one, and what became of the last."""

from pathlib import Path

from nymph.training.backup import Backup
from nymph.training.checkpoint import list_checkpoints, set_aside, step_of
from nymph.training.health import Alert
from nymph.training.job import Job
from nymph.training.learner import Learner
from nymph.training.reporter import Reporter
from nymph.training.resume import checkpoint_config
from nymph.training.saving import Saved, Saver
from nymph.training.state import TrainingState


class Keeper:
    """Saves a run's states on rank 0 (`writes`); on the others it only counts along.

    Args:
        begun_from: The checkpoint the run continues, which is that of `step`.
    """

    def __init__(
        self, job: Job, learner: Learner, reporter: Reporter, writes: bool, begun_from: Path | None, step: int
    ) -> None:
        self._job, self._learner, self._reporter = job, learner, reporter
        self._directory = Path(job.checkpoint_directory)
        self.last = begun_from
        """The newest checkpoint on disk."""
        self._step = step if begun_from else -1
        self._untold = self._failure = ""
        self._saver: Saver | None = None
        self._backup: Backup | None = None
        if writes and job.backup:
            self._backup = Backup(job.backup, job.connection, job.run, job.keep_last, self._on_lost_copy)
        if writes:
            asynchronous = job.asynchronous_checkpoints and not job.launch.stages  # stages are collected for each
            self._saver = Saver(self._directory, job.keep_last, learner.tensors_to_save, self._on_saved, asynchronous)

    def save(self, state: TrainingState, best: bool = False) -> None:
        """Save this state, unless the one of its step is kept already."""
        if self._step == state.step:
            return
        self._step = state.step
        state.scaler = dict(self._learner.stepper.scaler.state_dict())
        state.precision = self._learner.precision
        if self._saver is not None:
            self._saver.save(state.to_dict(), checkpoint_config(self._job.model), best)
        else:
            self._learner.gather()

    def hurry(self) -> None:
        """Somebody wants the last checkpoint now, rather than that training does not feel it."""
        if self._saver is not None:
            self._saver.hurry()

    def never(self, step: int) -> None:
        """The state of `step` must not become a checkpoint."""
        self._step = step

    def wait(self) -> str:
        """Once the last checkpoint is on disk, and its copy away: why it is not on disk, or an empty string."""
        if self._saver is not None:
            self._saver.wait()
        if self._backup is not None:
            self._backup.wait()
        self._untold = ""
        return self._failure

    def failure(self) -> str:
        """Why a checkpoint could not be written, told once; else an empty string."""
        failure, self._untold = self._untold, ""
        return failure

    def go_back(self, step: int) -> Path | None:
        """The newest checkpoint of `step` or before, with later ones set aside; None where there is none."""
        self.wait()
        earlier = [path for path in list_checkpoints(self._directory) if step_of(path) <= step]
        if not earlier:
            return None
        set_aside(self._directory, step_of(earlier[-1]))
        self._step, self.last = -1, earlier[-1]
        return earlier[-1]

    def _on_saved(self, saved: Saved) -> None:
        if saved.path is None:
            self._untold = self._failure = f"step {saved.step} could not be saved: {saved.error}"
            return
        self.last, self._failure = saved.path, ""
        self._reporter.checkpoint(saved)
        if self._backup is not None:
            self._backup.send(saved.path)

    def _on_lost_copy(self, problem: str) -> None:
        self._reporter.alert(self._step, Alert("backup", problem))
