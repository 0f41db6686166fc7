"""`kedro inspect rows N`: training rows decoded for a person."""

from pathlib import Path

import click
from kedro.framework.cli.utils import env_option
from kedro.framework.startup import ProjectMetadata

from nymph.cli.errors import ClearCommand
from nymph.cli.project import load_catalog
from nymph.errors import NymphError

SPLITS = ["train", "validation", "test"]


@click.group()
def inspect() -> None:
    """Look at what the pipeline made."""


@inspect.command(cls=ClearCommand)
@click.argument("count", type=click.IntRange(min=1), default=1)
@click.option("--first", type=click.IntRange(min=0), default=0, show_default=True, help="Index of the first row.")
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    default="train",
    show_default=True,
    help="Which rows.",
)
@env_option
@click.pass_obj
def rows(metadata: ProjectMetadata, /, count: int, first: int, split: str, env: str | None) -> None:
    """Show COUNT rows: text with special tokens, times, loss weights, and the sound as a picture."""
    from nymph.sequences.inspect import read_rows, render

    catalog = load_catalog(metadata, env)
    place = str(catalog.load(f"sequences_{split}"))
    if "://" in place:
        raise NymphError(f"rows are inspected where they are made, not over Flight ({place}); use the data box")
    for row in read_rows(Path(place), catalog.load("tokenizer"), first, count):
        click.echo(render(row))
