"""A sweep in MLflow: one run for the whole, a nested one for each trial, told by the sweep's own follower."""

from pathlib import Path
from types import TracebackType

import click

from nymph.hooks.tracking import MlflowOptions, absolute_uri, run_tags, start_follower, wait_for_follower
from nymph.sweeps.ledger import Trial
from nymph.sweeps.options import SweepOptions
from nymph.tracking.journal import End, Journal, Start
from nymph.tracking.params import flatten
from nymph.training.job import Job


class SweepJournal:
    """Writes the journals while a sweep runs, and a line on the terminal for each trial."""

    def __init__(
        self, project: Path, env: str | None, options: SweepOptions, folder: Path, mlflow: MlflowOptions
    ) -> None:
        self._project, self._env, self._options, self._mlflow = project, env, options, mlflow
        self._runs, self._name = folder.parent, folder.name
        self._sweep: Journal | None = None
        self._trials: dict[int, Journal] = {}

    def began(self, trial: Trial, job: Job) -> None:
        """A trial begins, or goes on."""
        click.echo(f"trial {trial.number} begins: {trial.params}")
        if self._sweep is not None:
            params = {name: str(value) for name, value in trial.params.items()} | flatten("job", job.to_dict())
            self._trials[trial.number] = self._journal(job.run, params, parent=self._sweep.folder.name)

    def ended(self, trial: Trial) -> None:
        """A trial has ended."""
        outcome = f"{self._options.goal} {trial.value:.5f}" if trial.value is not None else trial.reason
        click.echo(f"trial {trial.number} ended: {outcome}")
        if journal := self._trials.pop(trial.number, None):
            journal.end(End("FINISHED" if trial.value is not None else "FAILED", trial.reason))

    def _journal(self, log: str, params: dict[str, str], parent: str | None) -> Journal:
        run = f"{self._name}.{log}" if parent else self._name
        start = Start(
            run=f"sweep.{run}",
            experiment=self._mlflow.experiment,
            tracking_uri=absolute_uri(self._mlflow.tracking_uri, self._project),
            name=log,
            params=params,
            tags=run_tags(self._project, self._env, run),
            system_metrics=self._mlflow.system_metrics and parent is None,
            logs=[log],
            parent=parent,
        )
        return Journal.create(self._runs, start)

    def __enter__(self) -> "SweepJournal":
        if self._mlflow.enabled:
            self._sweep = self._journal(self._name, flatten("sweep", self._options), parent=None)
            self._follower = start_follower(self._sweep)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sweep is None:
            return
        for journal in self._trials.values():
            journal.end(End("KILLED", "the sweep was interrupted"))
        self._sweep.end(End("FINISHED" if error is None else "KILLED", "" if error is None else type(error).__name__))
        wait_for_follower(self._sweep, self._follower, self._mlflow.wait_seconds)
