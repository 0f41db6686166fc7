"""`kedro model presets`: what each size of model costs, before anything is trained."""

import click

from nymph.cli.errors import ClearCommand


@click.group()
def model() -> None:
    """Look at the models that can be trained."""


@model.command(cls=ClearCommand)
@click.option("--length", type=click.IntRange(min=1), help="Positions of a sequence; each preset's own by default.")
def presets(length: int | None) -> None:
    """Show what every preset costs, in both forms, measured on the built models.

    FLOPs of training a token; cache bytes in half precision, of global layers for each position and of the rings of
    windowed layers in all; memory of one device that trains rows of one sequence in float32 with AdamW and gradient
    checkpointing, the layers' inputs kept on the device or offloaded to the host (a CPU's to disk).
    """
    from nymph.model.estimate import table

    click.echo(table(length))
