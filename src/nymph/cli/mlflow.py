"""`kedro mlflow`: MLflow's own pages over an environment's runs."""

import os
import sys

import click
from kedro.framework.cli.utils import env_option
from kedro.framework.startup import ProjectMetadata

from nymph.cli.errors import ClearCommand
from nymph.cli.project import load_options


@click.command(cls=ClearCommand)
@env_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, default=5000, show_default=True, help="Port to listen on.")
@click.pass_obj
def mlflow(metadata: ProjectMetadata, /, env: str | None, host: str, port: int) -> None:
    """Browse and compare this environment's runs, until Ctrl-C."""
    from nymph.hooks.tracking import MlflowOptions, absolute_uri

    uri = absolute_uri(load_options(metadata, env, "mlflow", MlflowOptions).tracking_uri, metadata.project_path)
    if uri.startswith("http"):
        click.echo(f"This environment's runs are on the MLflow server at {uri}")
        return
    click.echo(f"MLflow over {uri} at http://{host}:{port} (Ctrl-C ends it)")
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # saves 20 s and a gigabyte at start
    arguments = ["ui", "--backend-store-uri", uri, "--host", host, "--port", str(port), "--workers", "1"]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", *arguments])
