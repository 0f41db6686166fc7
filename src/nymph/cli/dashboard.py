"""`kedro dashboard`: the live page of an environment's runs."""

import os
from pathlib import Path

import click
from kedro.framework.cli.utils import env_option
from kedro.framework.startup import ProjectMetadata
from pydantic import BaseModel, ConfigDict, Field

from nymph.cli.errors import ClearCommand
from nymph.cli.project import load_options


class DashboardOptions(BaseModel):
    """`dashboard.yml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    """Address to listen on; beyond this machine NYMPH_DASHBOARD_TOKEN must hold at least 16 characters."""
    port: int = Field(default=8787, ge=0, le=65535)
    """First port to try; a taken one gives way to the next."""
    runs: Path = Path("data/08_reporting/runs")
    """Folder of runs, each with its event log, relative to the project."""
    names: tuple[str, ...] = ()
    """Further host names by which browsers reach this machine."""


@click.command(cls=ClearCommand)
@env_option
@click.option("--host", help="Address to listen on, instead of dashboard.yml's.")
@click.option("--port", type=int, help="First port to try, instead of dashboard.yml's.")
@click.pass_obj
def dashboard(metadata: ProjectMetadata, /, env: str | None, host: str | None, port: int | None) -> None:
    """Show this environment's training runs live, and past ones, until Ctrl-C.

    It reads event logs only, so it may start before, during or after a run.
    """
    from nymph.dashboard.serve import serve

    options = load_options(metadata, env, "dashboard", DashboardOptions, host=host, port=port)
    runs = metadata.project_path / options.runs
    runs.mkdir(parents=True, exist_ok=True)
    serve(
        runs,
        options.host,
        options.port,
        token=os.environ.get("NYMPH_DASHBOARD_TOKEN"),
        names=options.names,
        project=metadata.project_path,
    )
