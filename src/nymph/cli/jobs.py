"""The job that `kedro run --pipelines training` would train, for commands that look at it first."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kedro.framework.startup import ProjectMetadata
from kedro.io import DataCatalog, DatasetError

from nymph.cli.project import load_catalog
from nymph.errors import NymphError
from nymph.pipelines.training.nodes import make_job
from nymph.pipelines.training.options import TrainingOptions
from nymph.training.job import Job


def training_job(metadata: ProjectMetadata, env: str | None, params: dict[str, Any]) -> Job:
    """The environment's job on the rows it has; NymphError where there are none yet."""
    catalog = load_catalog(metadata, env, params)
    return job_maker(catalog)(training_options(catalog))


def training_options(catalog: DataCatalog) -> TrainingOptions:
    """`params:training`."""
    return TrainingOptions.model_validate(catalog.load("params:training"))


def job_maker(catalog: DataCatalog) -> Callable[[Any], Job]:
    """A function from training options to the job of them on the catalog's rows."""
    train, validation = (_location(catalog, name) for name in ("sequences_train", "sequences_validation"))
    runs, checkpoints = Path(catalog.load("runs")), Path(catalog.load("checkpoints"))
    return lambda options: make_job(train, validation, TrainingOptions.model_validate(options), runs, checkpoints)


def _location(catalog: DataCatalog, name: str) -> str:
    try:
        return str(catalog.load(name))
    except DatasetError as error:
        raise NymphError(f"there is nothing to train on yet: {error}; run the pipelines before `training`") from None
