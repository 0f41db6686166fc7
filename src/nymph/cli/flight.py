"""`kedro flight certificates`: a local authority, so that the data plane can leave this machine encrypted."""

from pathlib import Path

import click
from kedro.framework.startup import ProjectMetadata

from nymph.cli.errors import ClearCommand


@click.group()
def flight() -> None:
    """Tools for the data plane."""


@flight.command(cls=ClearCommand)
@click.argument("hosts", nargs=-1, required=True)
@click.option("--folder", default="conf/local/certificates", show_default=True, help="Where the files go.")
@click.option("--days", type=click.IntRange(min=1), default=825, show_default=True, help="How long they are valid.")
@click.pass_obj
def certificates(metadata: ProjectMetadata, /, hosts: tuple[str, ...], folder: str, days: int) -> None:
    """Make an authority, a server certificate for HOSTS (names or addresses) and a client certificate."""
    from nymph.flight.certificates import make_certificates

    files = make_certificates(metadata.project_path / Path(folder), hosts, days)
    click.echo(f"serve.yml: tls: {{certificate: {files.server}, key: {files.server_key}}}")
    click.echo(
        f"globals.yml of the client: connection: {{ca_file: {files.authority}}}; NYMPH_FLIGHT=grpc+tls://{hosts[0]}:9090"
    )
