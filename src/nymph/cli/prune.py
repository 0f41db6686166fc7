"""`kedro prune`: delete outputs of options that are no longer in use."""

import click
from kedro.framework.cli.utils import env_option
from kedro.framework.startup import ProjectMetadata

from nymph.cli.errors import ClearCommand
from nymph.cli.project import load_config


@click.command(cls=ClearCommand)
@env_option
@click.pass_obj
def prune(metadata: ProjectMetadata, /, env: str | None) -> None:
    """Delete transcripts, frames and scores that today's options do not name.

    They are kept by default, so that going back to earlier options costs nothing.
    """
    from nymph.stores.items import prune as delete_stale

    for name, entry in load_config(metadata, env, "catalog").items():
        folder = metadata.project_path / str(entry.get("filepath", ""))
        if str(entry["type"]).endswith(".ItemsDataset") and (folder / "index.json").is_file():
            click.echo(f"{name}: {delete_stale(folder)} files deleted")
