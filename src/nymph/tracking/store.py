"""Every call to MLflow, each safe to repeat: what arrived twice is stored once.

Metrics carry the time of the event, so MLflow's own key (name, time, value, step) drops repeats; runs and models are
looked up by tag before they are made. MLflow's asynchronous logging is not used: it loses points when a server is down.
"""

import itertools
import logging
import math
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nymph.tracking.journal import End, Start
from nymph.tracking.metrics import numbers
from nymph.tracking.samples import log_samples

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.entities import Run as MlflowRun
    from mlflow.entities.model_registry import ModelVersion

_METRICS_PER_CALL = 1000
_PARAMS_PER_CALL = 100
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
}
_QUALITIES = ("loss", "accuracy", "perplexity")
_RUN_TAG = "nymph.run"
_NOT_IN_NAMES = re.compile(r"[^\w\-. :/]")
_logger = logging.getLogger(__name__)


class Store:
    """An MLflow server or database. Every method raises whatever MLflow raises; the follower retries."""

    def __init__(self, tracking_uri: str) -> None:
        os.environ.update(_QUIET)
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        import mlflow

        self._local = local_folder(tracking_uri)
        if self._local:
            self._local.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(tracking_uri)
        self._client = mlflow.MlflowClient(tracking_uri)

    def begin(self, start: Start, parent: str | None = None) -> str:
        """The id of this Kedro run's MLflow run, made if need be, nested in run `parent`."""
        experiment = self._experiment(start.experiment)
        found = self._client.search_runs([experiment], f"tags.`{_RUN_TAG}` = '{start.run}'", max_results=1)
        if found:
            return str(found[0].info.run_id)
        tags = {_RUN_TAG: start.run} | ({"mlflow.parentRunId": parent} if parent else {})
        run = self._client.create_run(experiment, int(start.time * 1000), tags, start.name)
        return str(run.info.run_id)

    def describe(self, run_id: str, start: Start) -> None:
        """Log the parameters, the tags and the fingerprints of the inputs."""
        from mlflow.entities import Param

        params = [Param(key, value) for key, value in start.params.items()]
        for some in _chunks(params, _PARAMS_PER_CALL):
            self._client.log_batch(run_id, params=some)
        self._tag(run_id, start.tags)
        self._take_in(run_id, start.inputs)

    def send(self, run_id: str, events: list[dict[str, Any]], folder: Path, prefix: str = "") -> None:
        """Log the metrics, checkpoints, alerts and samples of some events of the run directory `folder`."""
        metrics = [metric for event in events for metric in _metrics(event, prefix)]
        for some in _chunks(metrics, _METRICS_PER_CALL):
            self._client.log_batch(run_id, metrics=some)
        for event in events:
            with _skipping_refusals(event):
                if event["kind"] == "checkpoint":
                    self._checkpoint(run_id, event)
                elif event["kind"] == "alert":
                    key = _NOT_IN_NAMES.sub("_", f"alert.{event.get('rule')}")
                    self._client.set_tag(run_id, key, f"step {event.get('step')}: {event.get('message')}"[:500])
        if any(event["kind"] == "sample" for event in events):
            log_samples(self._client, run_id, folder, f"{prefix}samples")

    def finish(self, run_id: str, end: End) -> None:
        """Keep copies of the run's reports and give it its final status."""
        for report in filter(os.path.isfile, end.reports):
            self._client.log_artifact(run_id, report, "reports")
        self._take_in(run_id, end.inputs)
        if end.reason:
            self._client.set_tag(run_id, "nymph.reason", end.reason[:500])
        self._client.set_terminated(run_id, end.status, int(end.time * 1000))

    def _tag(self, run_id: str, tags: dict[str, str]) -> None:
        from mlflow.entities import RunTag

        for some in _chunks([RunTag(key, value) for key, value in tags.items()], _PARAMS_PER_CALL):
            self._client.log_batch(run_id, tags=some)

    def _take_in(self, run_id: str, inputs: dict[str, str]) -> None:
        """Say what data the run used: as tags, by which runs are found, and as dataset inputs."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        if not inputs:
            return
        self._tag(run_id, {f"hash.{name}": digest for name, digest in inputs.items()})
        data = [
            DatasetInput(Dataset(name, digest[:36], "nymph", "{}"), [InputTag("mlflow.data.context", "input")])
            for name, digest in inputs.items()
        ]
        self._client.log_inputs(run_id, data)

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        if found := self._client.get_experiment_by_name(name):
            return str(found.experiment_id)
        artifacts = (self._local / "artifacts").as_uri() if self._local else None
        try:
            return str(self._client.create_experiment(name, artifacts))
        except MlflowException:
            if found := self._client.get_experiment_by_name(name):  # another process was faster
                return str(found.experiment_id)
            raise

    def _checkpoint(self, run_id: str, event: dict[str, Any]) -> None:
        import mlflow

        run = self._client.get_run(run_id)
        experiment = run.info.experiment_id
        path, step = str(event.get("path", "")), int(event.get("step", 0))
        name = f"step-{step:08d}"
        known = self._client.search_logged_models([experiment], f"source_run_id = '{run_id}' AND name = '{name}'")
        if known:
            model_id = known[0].model_id
        else:
            model_id = mlflow.create_external_model(
                name=name,
                source_run_id=run_id,
                params={"step": str(step)},
                tags={"path": path, "bytes": str(event.get("bytes", ""))},
                experiment_id=experiment,
            ).model_id
            for metric in self._evaluated(run, step, model_id):
                self._client.log_batch(run_id, metrics=[metric])
        version = self._register(self._client.get_experiment(experiment).name, model_id, run_id)
        if event.get("best"):  # `latest` is MLflow's own alias for the newest version
            self._client.set_registered_model_alias(version.name, "best", version.version)

    def _evaluated(self, run: "MlflowRun", step: int, model_id: str) -> "Iterator[Metric]":
        """The points of the evaluation a model had: the very same points, or the run would have them twice."""
        from mlflow.entities import Metric

        for name in run.data.metrics:
            if name.rpartition("/")[2] in _QUALITIES and not name.startswith("train/"):
                history = self._client.get_metric_history(run.info.run_id, name)
                if known := [point for point in history if point.step <= step]:
                    last = max(known, key=lambda point: (point.step, point.timestamp))
                    yield Metric(name, last.value, last.timestamp, last.step, model_id=model_id)

    def _register(self, experiment: str, model_id: str, run_id: str) -> "ModelVersion":
        name = experiment.replace("/", "-").replace(":", "-")
        if not self._client.search_registered_models(f"name = '{name}'", max_results=1):
            self._client.create_registered_model(name, description="Checkpoints; load through the `path` tag.")
        source = f"models:/{model_id}"
        for version in self._client.search_model_versions(f"name = '{name}' AND run_id = '{run_id}'"):
            if version.source == source:
                return version
        return self._client.create_model_version(name, source, run_id, model_id=model_id)


@contextmanager
def _skipping_refusals(event: dict[str, Any]) -> Iterator[None]:
    """A server that answers "no" will say so for ever: note it and go on. One that does not answer is tried again."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if not 400 <= error.get_http_status_code() < 429:
            raise
        _logger.warning("MLflow refused the %s of step %s: %s", event["kind"], event.get("step"), error)


def local_folder(tracking_uri: str) -> Path | None:
    """The folder of a sqlite tracking database, or None for a server."""
    scheme, _, path = tracking_uri.partition(":///")
    return Path(path).parent if scheme.startswith("sqlite") else None


def _metrics(event: dict[str, Any], prefix: str) -> "Iterator[Metric]":
    from mlflow.entities import Metric

    step = event.get("step")
    for name, value in numbers(event):
        number = math.nan if value is None else float(value)
        yield Metric(
            _NOT_IN_NAMES.sub("_", prefix + name)[:250], number, _millis(event), step if isinstance(step, int) else 0
        )


def _millis(event: dict[str, Any]) -> int:
    time = event.get("time")
    return int(time * 1000) if isinstance(time, int | float) else 0


def _chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while some := list(itertools.islice(iterator, size)):
        yield some
