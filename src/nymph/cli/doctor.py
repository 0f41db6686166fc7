"""`kedro doctor`: what this machine can do, and what stands in the way of an environment."""

import sys
from typing import Any

import click
from kedro.framework.cli.utils import env_option
from kedro.framework.startup import ProjectMetadata

from nymph.cli.errors import ClearCommand
from nymph.cli.project import load_config, resolved_catalog

MARKS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "failure": ("FAILS", "red")}


@click.command(cls=ClearCommand)
@env_option
@click.pass_obj
def doctor(metadata: ProjectMetadata, /, env: str | None) -> None:
    """Check machine, versions, GPUs, models and endpoints of an environment.

    Exits with 1 and advice where the environment cannot work as configured.
    """
    failures = 0
    for finding in _findings(metadata, env):
        mark, colour = MARKS[finding.grade]
        failures += finding.grade == "failure"
        click.echo(f"{click.style(f'{mark:8}', fg=colour)}{finding.topic:22}{finding.text}")
        if finding.advice:
            click.secho(f"{'':8}{'':22}-> {finding.advice}", fg=colour)
    name = env or "base"
    if failures:
        click.secho(f"The environment {name!r} cannot work here as configured: {failures} problem(s) above.", fg="red")
        sys.exit(1)
    click.secho(f"The environment {name!r} can work on this machine.", fg="green")


def _findings(metadata: ProjectMetadata, env: str | None) -> Any:
    from nymph.doctor import environment, machine

    project = metadata.project_path
    entries = resolved_catalog(metadata, env)
    tracking = str(load_config(metadata, env, "mlflow").get("tracking_uri", "none"))
    yield from machine.machine_findings(project)
    yield from machine.version_findings()
    yield from machine.gpu_findings(environment.wants_cuda(entries))
    yield from environment.model_findings(entries)
    yield from environment.endpoint_findings(entries, tracking)
    yield environment.asset_finding(project)
    yield environment.writable_finding(project)
