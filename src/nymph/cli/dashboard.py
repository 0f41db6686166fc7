"""`kedro dashboard`: the live page of an environment's runs."""

import click
from kedro.framework.cli.utils import env_option
from kedro.framework.startup import ProjectMetadata

from nymph.cli.errors import ClearCommand
from nymph.cli.project import load_options


@click.command(cls=ClearCommand)
@env_option
@click.option("--host", help="Address to listen on, instead of dashboard.yml's.")
@click.option("--port", type=int, help="First port to try, instead of dashboard.yml's.")
@click.option("--send", metavar="URL", help="Serve no page: send the runs to the dashboard at this address.")
@click.pass_obj
def dashboard(
    metadata: ProjectMetadata, /, env: str | None, host: str | None, port: int | None, send: str | None
) -> None:
    """Show this environment's training runs live, and past ones, until Ctrl-C.

    It reads event logs only, so it may start before, during or after a run. With --send it feeds them to the page of
    another machine instead, which needs the same NYMPH_DASHBOARD_TOKEN.
    """
    from nymph.dashboard.options import DashboardOptions, send_runs, serve_page

    options = load_options(metadata, env, "dashboard", DashboardOptions, host=host, port=port, send=send)
    if send:
        click.echo(f"Sending the runs in {options.runs} to {send} (Ctrl-C ends it)")
        send_runs(options, metadata.project_path)
    else:
        serve_page(options, metadata.project_path)
