"""`kedro serve`: the Flight server of an environment."""

import logging
from pathlib import Path

import click
from kedro.framework.cli.utils import env_option
from kedro.framework.startup import ProjectMetadata
from pydantic import BaseModel, ConfigDict, Field

from nymph.cli.errors import ClearCommand
from nymph.cli.project import load_options
from nymph.flight.server import Limits, Tls


class ServeOptions(BaseModel):
    """`serve.yml`: what is served, where, and to whom."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    """Address to listen on; beyond this machine TLS and tokens are required."""
    port: int = Field(default=9090, ge=0, le=65535)
    """TCP port; 0 takes a free one."""
    roots: dict[str, Path] = Field(min_length=1)
    """Name -> folder (relative to the project); every folder of Parquet shards below it is the table NAME/FOLDER."""
    tokens: Path | None = None
    """JSON file of bearer tokens with scopes, mode 0600."""
    tls: Tls | None = None
    """Certificate, key and, for mutual TLS, the clients' authority."""
    limits: Limits = Field(default_factory=Limits)
    """What one server gives at most."""
    writable: tuple[str, ...] = ()
    """Roots that accept uploads from tokens with the scope `write`."""
    insecure: bool = False
    """Listen beyond this machine without TLS and tokens: only where the network is your own."""


@click.command(cls=ClearCommand)
@env_option
@click.option("--host", help="Address to listen on, instead of serve.yml's.")
@click.option("--port", type=int, help="Port to listen on, instead of serve.yml's; 0 takes a free one.")
@click.pass_obj
def serve(metadata: ProjectMetadata, /, env: str | None, host: str | None, port: int | None) -> None:
    """Serve this environment's tables over Arrow Flight until Ctrl-C or SIGTERM.

    The training box reads them with NYMPH_FLIGHT=grpc://HOST:PORT kedro run --env threadripper.
    """
    from nymph.flight.auth import load_tokens
    from nymph.flight.server import FlightServer

    options = load_options(metadata, env, "serve", ServeOptions, host=host, port=port)
    logging.getLogger("nymph.flight").setLevel(logging.INFO)
    server = FlightServer(
        {name: metadata.project_path / folder for name, folder in options.roots.items()},
        options.host,
        options.port,
        tokens=load_tokens(metadata.project_path / options.tokens) if options.tokens else (),
        tls=options.tls,
        limits=options.limits,
        writable=options.writable,
        insecure=options.insecure,
    )
    scheme = "grpc+tls" if options.tls else "grpc"
    tables = server.refresh()
    click.echo(f"Serving {len(tables)} tables at {scheme}://{options.host}:{server.port} (Ctrl-C ends it)")
    for table in tables:
        click.echo(f"  {table}")
    server.serve()
