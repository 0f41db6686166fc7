"""`kedro run`, with an environment's own default pipelines and errors a person can read."""

import os
import pkgutil
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.startup import ProjectMetadata

import nymph.pipelines
from nymph.cli.errors import ClearCommand
from nymph.cli.project import check_environment, load_config
from nymph.errors import NymphError, nearest
from nymph.output import FORMS, VARIABLE, set_output

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
    set_output(options.pop("output"))
    most = options.pop("max_conversations")
    if most is not None:
        options["params"].setdefault("ingestion", {}).setdefault("chat", {})["maximum_conversations"] = most
    env = options["env"] or os.environ.get("KEDRO_ENV")
    check_environment(metadata.project_path, env)
    if not any(options[name] for name in _SELECTORS):
        options["pipelines"] = load_config(metadata, env, "run").get("pipelines", [])
    _check_pipelines([*options["pipelines"], *filter(None, [options["pipeline"]])])
    return kedro_run.callback(**options)  # type: ignore[misc]


def _check_pipelines(names: list[str]) -> None:
    """Raise NymphError for a pipeline that does not exist; Kedro would import each by its name and show a traceback."""
    known = [module.name for module in pkgutil.iter_modules(nymph.pipelines.__path__)]
    for name in names:
        if name not in (*known, "__default__"):
            raise NymphError(f"no pipeline {name!r}: expected one of {', '.join(known)}{nearest(name, known)}")


OUTPUT = click.Option(
    ["--output"],
    type=click.Choice(FORMS),
    help=f"What to say: rich for people, quiet (one line at the end) for cron, json (a line an event, on standard "
    f"output) for machines. Default: ${VARIABLE}, else rich.",
)
MAX_CONVERSATIONS = click.Option(
    ["--max-conversations"],
    type=click.IntRange(min=1),
    help="The most conversations to take from a file: ingestion.chat.maximum_conversations, the rest is counted.",
)

run = ClearCommand(
    "run",
    callback=_run,
    params=[*kedro_run.params, OUTPUT, MAX_CONVERSATIONS],
    help="Run pipelines. Without a selection, those that conf/ENV/run.yml names: in base all of them.\n\n"
    "A rerun makes only what is missing or changed.",
    epilog="Examples: kedro run | kedro run --env threadripper | kedro run --pipelines ingestion,transcription | "
    "kedro run --params training.steps=500,training.resume=none",
)
