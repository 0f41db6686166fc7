"""The sweep: trials begun where there is room, noted as they end, continued where an earlier start was cut off.

A trial is an ordinary training run with its own directory, checkpoints and event log; what the sweep adds is the
ledger of trials and a log with one event a trial. Everything else can be had from the runs themselves.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from nymph.errors import NymphError
from nymph.sweeps.ledger import Ledger, Trial
from nymph.sweeps.options import SweepOptions
from nymph.sweeps.search import belongs, planned, propose
from nymph.sweeps.slots import Attempt, Slot
from nymph.training.events import EVENTS, EventLog
from nymph.training.job import Job

MakeJob = Callable[[dict[str, Any]], Job]
"""From a trial's parameters to its job; NymphError where they are none."""


class Listener(Protocol):
    """Told of each trial."""

    def began(self, trial: Trial, job: Job) -> None:
        """A trial begins, or goes on."""

    def ended(self, trial: Trial) -> None:
        """A trial has ended."""


class Sweep:
    """One start of a sweep in the run directory `folder`."""

    def __init__(
        self, options: SweepOptions, make_job: MakeJob, folder: Path, slots: list[Slot], listener: Listener
    ) -> None:
        if not options.space:
            raise NymphError("sweep.space is empty: name parameters and the values to try, as conf/base shows")
        self._options, self._make_job, self._listener = options, make_job, listener
        self._free = list(slots)
        self._ledger = Ledger.open(folder)
        self._log = EventLog(folder / EVENTS)
        self._running: dict[int, tuple[Trial, Attempt]] = {}

    def to_the_end(self, poll_seconds: float = 0.2) -> Ledger:
        """Run every trial that is not done; an interrupt stops those at work with a checkpoint each."""
        self._log.write("start", run=self._options.name, step=0, total_steps=planned(self._options))
        status = "killed"
        try:
            todo = self._unfinished()
            while True:
                while self._free and (trial := todo.pop(0) if todo else self._new_trial()):
                    self._begin(trial)
                if not self._running:
                    break
                self._note_ended()
                time.sleep(poll_seconds)
            status = "finished"
        finally:
            self._stop_all()
            self._log.write(
                "end", status=status, step=len(self._ledger.trials), reason=f"{len(self._ledger.trials)} trials"
            )
            self._log.close()
        return self._ledger

    def _unfinished(self) -> list[Trial]:
        """Trials of earlier starts to take up again: cut off, failed, or of other options than the sweep's now.

        Those whose parameters are no longer in its space are forgotten.
        """
        kept = [trial for trial in self._ledger.trials if belongs(self._options, trial.params)]
        self._ledger.trials = kept
        jobs = {trial.number: self._make_job(trial.params) for trial in kept}
        stale = [trial for trial in kept if (trial.run, trial.steps) != _identity(jobs[trial.number])]
        renewed = [_trial(trial.number, trial.params, jobs[trial.number]) for trial in stale]
        return [*renewed, *(trial for trial in kept if trial.status != "done" and trial not in stale)]

    def _new_trial(self) -> Trial | None:
        params = propose(self._options, self._ledger.trials)
        if params is None:
            return None
        number = max((trial.number for trial in self._ledger.trials), default=-1) + 1
        trial = _trial(number, params, self._make_job(params))
        if twin := next((other for other in self._ledger.trials if other.run == trial.run), None):
            raise NymphError(
                f"{params} and {twin.params} are one and the same run {trial.run}: vary what makes another run"
            )
        return trial

    def _begin(self, trial: Trial) -> None:
        job = self._make_job(trial.params)
        self._ledger.put(trial)
        self._listener.began(trial, job)
        self._running[trial.number] = trial, Attempt(job, self._free.pop(0))

    def _note_ended(self) -> None:
        for number, (trial, attempt) in list(self._running.items()):
            if not attempt.ended:
                continue
            del self._running[number]
            self._free.append(attempt.slot)
            report, reason = attempt.result()
            value = report.get(self._options.goal)
            if not reason and value is None:
                reason = f"its report has no {self._options.goal}; are there validation rows?"
            ended = self._ledger.close(trial, value, reason)
            numbers = {name: value for name, value in ended.params.items() if isinstance(value, int | float)}
            self._log.write("trial", step=number, value=ended.value, run=ended.run, **numbers)
            self._listener.ended(ended)

    def _stop_all(self) -> None:
        for _, attempt in self._running.values():
            attempt.stop()
        for _, attempt in self._running.values():
            attempt.process.wait()


def _trial(number: int, params: dict[str, Any], job: Job) -> Trial:
    run, steps = _identity(job)
    return Trial(number, params, run, steps)


def _identity(job: Job) -> tuple[str, int]:
    return job.run, job.steps
