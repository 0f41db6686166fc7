"""`kedro run`, with an environment's own default pipelines and errors a person can read."""

import os
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.startup import ProjectMetadata

from nymph.cli.errors import ClearCommand
from nymph.cli.project import check_environment, load_config

_SELECTORS = (
    "pipeline",
    "pipelines",
    "tags",
    "node_names",
    "from_nodes",
    "to_nodes",
    "from_inputs",
    "to_outputs",
    "namespaces",
)


@click.pass_obj
def _run(metadata: ProjectMetadata, /, **options: Any) -> Any:
    env = options["env"] or os.environ.get("KEDRO_ENV")
    check_environment(metadata.project_path, env)
    if not any(options[name] for name in _SELECTORS):
        options["pipelines"] = load_config(metadata, env, "run").get("pipelines", [])
    os.environ["NYMPH_COMMAND"] = "kedro run"
    return kedro_run.callback(**options)  # type: ignore[misc]


run = ClearCommand(
    "run",
    callback=_run,
    params=kedro_run.params,
    help="Run pipelines. Without a selection, those that conf/ENV/run.yml names: in base all of them.\n\n"
    "A rerun makes only what is missing or changed.",
    epilog="Examples: kedro run | kedro run --env threadripper | kedro run --pipelines ingestion,transcription | "
    "kedro run --params training.steps=500,training.resume=none",
)
