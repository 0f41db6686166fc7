"""`kedro serve`: the Flight server of an environment."""

import logging

import click
from kedro.framework.cli.utils import env_option
from kedro.framework.startup import ProjectMetadata

from nymph.cli.errors import ClearCommand
from nymph.cli.project import load_options


@click.command(cls=ClearCommand)
@env_option
@click.option("--host", help="Address to listen on, instead of serve.yml's.")
@click.option("--port", type=int, help="Port to listen on, instead of serve.yml's; 0 takes a free one.")
@click.pass_obj
def serve(metadata: ProjectMetadata, /, env: str | None, host: str | None, port: int | None) -> None:
    """Serve this environment's tables over Arrow Flight until Ctrl-C or SIGTERM.

    The training box reads them with NYMPH_FLIGHT=grpc://HOST:PORT kedro run --env threadripper.
    """
    from nymph.cli.serve_options import ServeOptions
    from nymph.flight.auth import load_tokens
    from nymph.flight.logs import log_json
    from nymph.flight.metrics import MetricsServer
    from nymph.flight.server import FlightServer

    options = load_options(metadata, env, "serve", ServeOptions, host=host, port=port)
    logging.getLogger("nymph.flight").setLevel(logging.INFO)
    if options.log == "json":
        log_json()
    server = FlightServer(
        {name: metadata.project_path / folder for name, folder in options.roots.items()},
        options.host,
        options.port,
        tokens=load_tokens(metadata.project_path / options.tokens) if options.tokens else (),
        tls=options.tls,
        limits=options.limits,
        writable=options.writable,
        backups={name: metadata.project_path / folder for name, folder in options.backups.items()},
        insecure=options.insecure,
    )
    scheme = "grpc+tls" if options.tls else "grpc"
    tables = server.refresh()
    click.echo(f"Serving {len(tables)} tables at {scheme}://{options.host}:{server.port} (Ctrl-C ends it)")
    for table in tables:
        click.echo(f"  {table}")
    if options.metrics_port is not None:
        metrics = MetricsServer(server.snapshot, options.metrics_port)
        click.echo(f"Metrics at http://127.0.0.1:{metrics.port}/metrics")
    server.serve()
