"""The project and its configuration, for commands that run no pipeline."""

from pathlib import Path
from typing import Any, TypeVar

import click
from kedro.config import MissingConfigException, OmegaConfigLoader
from kedro.framework.cli.utils import _split_params
from kedro.framework.project import settings
from kedro.framework.session import KedroSession
from kedro.framework.startup import ProjectMetadata
from kedro.io import DataCatalog
from pydantic import BaseModel

from nymph.errors import NymphError
from nymph.tracking.params import flatten

Options = TypeVar("Options", bound=BaseModel)

params_option = click.option(
    "--params",
    type=click.UNPROCESSED,
    default="",
    callback=_split_params,
    help="Parameters that differ from the environment's: training.steps=500,training.batch_rows=16",
)


def environments(project: Path) -> list[str]:
    """Names that `--env` takes."""
    return sorted(folder.name for folder in (project / "conf").iterdir() if folder.is_dir())


def check_environment(project: Path, env: str | None) -> None:
    """Raise NymphError for an environment without a folder under conf/."""
    if env is not None and not (project / "conf" / env).is_dir():
        names = ", ".join(environments(project))
        raise NymphError(f"no environment {env!r}: expected one of {names} (the folders under conf/)")


def load_config(metadata: ProjectMetadata, env: str | None, name: str) -> dict[str, Any]:
    """One configuration of an environment, such as `serve` from serve.yml; empty where there is none."""
    check_environment(metadata.project_path, env)
    loader = OmegaConfigLoader(
        conf_source=str(metadata.project_path / settings.CONF_SOURCE), env=env, **settings.CONFIG_LOADER_ARGS
    )
    try:
        return dict(loader[name])
    except (KeyError, MissingConfigException):
        return {}


def load_catalog(metadata: ProjectMetadata, env: str | None, params: dict[str, Any] | None = None) -> DataCatalog:
    """The environment's catalog under the parameters given on the command line; entries are made when asked for."""
    check_environment(metadata.project_path, env)
    with KedroSession.create(metadata.project_path, env=env, runtime_params=params) as session:
        catalog: DataCatalog = session.load_context().catalog  # type: ignore[attr-defined]
        return catalog


def resolved_catalog(metadata: ProjectMetadata, env: str | None) -> dict[str, dict[str, Any]]:
    """The catalog entries of an environment that its pipelines use, as configured."""
    entries = load_config(metadata, env, "catalog")
    names = _datasets_of(load_config(metadata, env, "run").get("pipelines", []))
    return {name: dict(entry) for name, entry in entries.items() if name in names}


def _datasets_of(chosen: list[str]) -> set[str]:
    from kedro.framework.project import pipelines

    return {name for pipeline in chosen or ["__default__"] for name in pipelines[pipeline].datasets()}


def run_command(env: str | None, params: dict[str, Any], **more: Any) -> str:
    """The `kedro run` of an environment under `params` and `more`, for the user to copy."""
    chosen = ",".join(f"{name}={value}" for name, value in (flatten("", params) | more).items() if name)
    return " ".join(["kedro run", *([f"--env {env}"] if env else []), f"--params {chosen}"])


def load_options(metadata: ProjectMetadata, env: str | None, name: str, kind: type[Options], **given: Any) -> Options:
    """A configuration as a checked model; options given on the command line (not None) win."""
    values = load_config(metadata, env, name)
    return kind.model_validate({**values, **{key: value for key, value in given.items() if value is not None}})
