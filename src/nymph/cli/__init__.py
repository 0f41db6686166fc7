"""Nymph's commands, beside and in place of Kedro's own. Each is imported when it is called, so `--help` stays quick."""

import click
from kedro.framework.cli.utils import LazyGroup

COMMANDS = {
    "run": "nymph.cli.run.run",
    "score": "nymph.cli.score.score",
    "serve": "nymph.cli.serve.serve",
    "dashboard": "nymph.cli.dashboard.dashboard",
    "doctor": "nymph.cli.doctor.doctor",
    "estimate": "nymph.cli.estimate.estimate",
    "flight": "nymph.cli.flight.flight",
    "generate": "nymph.cli.generate.generate",
    "inspect": "nymph.cli.inspect.inspect",
    "mlflow": "nymph.cli.mlflow.mlflow",
    "model": "nymph.cli.model.model",
    "plan": "nymph.cli.plan.plan",
    "prune": "nymph.cli.prune.prune",
    "sweep": "nymph.cli.sweep.sweep",
    "validate": "nymph.cli.validate.validate",
}


@click.group(name="nymph", cls=LazyGroup, lazy_subcommands=COMMANDS)
def cli() -> None:
    """Nymph."""


__all__ = ["cli"]
