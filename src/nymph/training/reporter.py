"""What a run tells: each happening once to the event log and once to whoever watches the terminal.

Where that fails (a full disk) nothing is raised at once: only rank 0 tells, and in the middle of what the ranks do
together it could not end alone. `failure` waits until they can all end.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from nymph.training.console import Progress
from nymph.training.evaluation import Evaluation
from nymph.training.events import EventLog
from nymph.training.health import Alert
from nymph.training.job import Job
from nymph.training.saving import Saved
from nymph.training.state import TrainingState
from nymph.training.step import StepResult
from nymph.training.world import World


class Reporter:
    """Speaks for one rank; only rank 0 has a log and a terminal."""

    def __init__(self, log: EventLog | None, progress: Progress) -> None:
        self._log, self._progress = log, progress
        self.failure: Exception | None = None
        """Why something could not be told."""

    def start(
        self, job: Job, world: World, state: TrainingState, parameters: int, precision: str, resumed: Path | None
    ) -> None:
        """Training begins."""
        self.event(
            "start",
            run=job.run,
            step=state.step,
            total_steps=job.steps,
            parameters=parameters,
            device=str(world.device),
            world=world.size,
            precision=precision,
            tokens_per_step=job.batch_rows * job.model.context_length,
            job=job.to_dict(),
        )
        if resumed:
            self.event("resume", step=state.step, checkpoint=str(resumed))
        text = f"{parameters:,} parameters on {world.size} x {world.device} in {precision}"
        self._say(
            self._progress.start, state.step, job.steps, f"{job.run}: {text}, from step {state.step} to {job.steps}"
        )

    def step(self, state: TrainingState, result: StepResult, **figures: Any) -> None:
        """One update was made."""
        event = self.event(
            "step",
            step=state.step,
            loss=result.loss,
            losses=result.losses,
            gradient_norm=result.gradient_norm,
            tokens=state.tokens,
            **figures,
        )
        if event:
            self._say(self._progress.step, event)

    def evaluation(self, step: int, found: Evaluation, better: bool) -> None:
        """The validation loss was measured."""
        self.event(
            "evaluation",
            step=step,
            split="validation",
            loss=found.loss,
            losses=found.losses,
            accuracy=found.accuracy,
            perplexity=found.perplexity,
        )
        self._say(self._progress.message, f"step {step}: validation loss {found.loss:.4f}{' (best)' if better else ''}")

    def checkpoint(self, saved: Saved) -> None:
        """A checkpoint is on disk."""
        self.event(
            "checkpoint",
            step=saved.step,
            path=str(saved.path),
            bytes=saved.bytes,
            seconds=saved.seconds,
            best=saved.best,
        )

    def alert(self, step: int, alert: Alert) -> None:
        """Something a person should know."""
        self.event("alert", step=step, rule=alert.rule, message=alert.message)
        self._say(self._progress.message, f"alert: {alert.rule}: {alert.message}")

    def end(self, status: str, step: int, reason: str) -> None:
        """Training ended."""
        self.event("end", status=status, step=step, reason=reason)
        self._say(self._progress.end, f"{status} at step {step}: {reason}")

    def message(self, text: str) -> None:
        """A sentence for the terminal alone."""
        self._say(self._progress.message, text)

    def event(self, kind: str, **fields: Any) -> dict[str, Any] | None:
        """A line of the log, where this rank has one."""
        try:
            return self._log.write(kind, **fields) if self._log else None
        except Exception as error:
            self.failure = self.failure or error
            return None

    def _say(self, how: Callable[..., None], *what: Any) -> None:
        try:
            how(*what)
        except Exception as error:
            self.failure = self.failure or error
