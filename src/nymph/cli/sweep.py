"""`kedro sweep`: train with many parameters and see which serve best."""

from pathlib import Path
from typing import Any

import click
from kedro.framework.cli.utils import env_option
from kedro.framework.startup import ProjectMetadata

from nymph.cli.errors import ClearCommand
from nymph.cli.project import params_option, run_command


@click.command(cls=ClearCommand)
@env_option
@params_option
@click.pass_obj
def sweep(metadata: ProjectMetadata, /, env: str | None, params: dict[str, Any]) -> None:
    """Train once for each point of the space in parameters/sweep.yml, and rank the results.

    Stop it at any time: started again it continues every trial where it was. MLflow shows the trials nested in one run.
    """
    import signal
    import sys

    from nymph.cli.project import load_config
    from nymph.cli.sweep_tracking import SweepJournal
    from nymph.hooks.tracking import read_options
    from nymph.sweeps.slots import find_slots
    from nymph.sweeps.sweep import Sweep

    options, make_job, folder = _prepare(metadata, env, params)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    mlflow = read_options({"mlflow": load_config(metadata, env, "mlflow")})
    with SweepJournal(metadata.project_path, env, options, folder, mlflow) as journal:
        ledger = Sweep(options, make_job, folder, find_slots(options.parallel, _gpus()), journal).to_the_end()
    click.echo(f"{'trial':>5}  {options.goal:24}run")
    for trial in sorted(ledger.trials, key=lambda trial: (trial.value is None, trial.value)):
        value = trial.reason if trial.value is None else f"{trial.value:.5f}"
        click.echo(f"{trial.number:5}  {value:24}{trial.run}  {trial.params}")
    if ledger.best is None:
        sys.exit(1)
    click.echo(f"train with the best: {run_command(env, params, **ledger.best.params)}")


def _prepare(metadata: ProjectMetadata, env: str | None, params: dict[str, Any]) -> tuple[Any, Any, Path]:
    """The options, a function from a trial's parameters to its job, and the sweep's run directory."""
    from omegaconf import OmegaConf

    from nymph.cli.jobs import job_maker, training_options
    from nymph.cli.project import load_catalog
    from nymph.sweeps.options import SweepOptions

    catalog = load_catalog(metadata, env, params)
    options = SweepOptions.model_validate(catalog.load("params:sweep"))
    given, make = training_options(catalog).model_dump(mode="json"), job_maker(catalog)

    def make_job(trial: dict[str, Any]) -> Any:
        changed = OmegaConf.create(given)
        for name, value in trial.items():
            OmegaConf.update(changed, name.removeprefix("training."), value, force_add=True)
        return make(OmegaConf.to_container(changed))

    return options, make_job, Path(catalog.load("runs")) / options.name


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()
