"""Kedro's side of MLflow: write down what a run is, start the follower, write down how it ended.

The Kedro process never imports MLflow and never talks to its server: `nymph.tracking.follower` does, in a process of
its own. So `kedro run` starts at once, a server that is down costs no step, and a run that is killed is still closed.
"""

import atexit
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from kedro.config import MissingConfigException
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from pydantic import BaseModel, ConfigDict, ValidationError

import nymph
from nymph.errors import NymphError, nearest
from nymph.files import fingerprint, sha256_file
from nymph.tracking.journal import End, Journal, Start, journals, log_sizes
from nymph.tracking.params import flatten

_REPORT_BYTES = 5_000_000
_logger = logging.getLogger(__name__)


class MlflowOptions(BaseModel):
    """`mlflow.yml` of an environment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = True
    """False: nothing is recorded for MLflow; event logs and the dashboard stay."""
    tracking_uri: str = "sqlite:///data/08_reporting/mlflow/mlflow.db"
    """A sqlite file (made absolute against the project) or a server's http(s) address."""
    experiment: str = "nymph"
    """Experiment, and name under which checkpoints are registered."""
    system_metrics: bool = True
    """Sample processor, memory, disk, network and GPUs every 10 s."""
    runs_directory: Path = Path("data/08_reporting/runs")
    """Where event logs are written; the journal is kept beside them."""
    reports: Path = Path("data/08_reporting")
    """Folder whose small files, when a run has written them, are kept with it as artifacts."""
    wait_seconds: float = 60.0
    """How long a finished run waits for MLflow to have everything; the rest is sent with the next run."""


class TrackingHook:
    """Record a Kedro run in MLflow through a journal; see `nymph.tracking.journal`."""

    def __init__(self) -> None:
        self._options = MlflowOptions(enabled=False)
        self._project = Path()
        self._env: str | None = None
        self._journal: Journal | None = None
        self._follower: subprocess.Popen[bytes] | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Read `mlflow.yml`."""
        self._project = Path(context.project_path)
        self._env = context.env
        self._options = read_options(context.config_loader)

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Write the journal's beginning and start the follower."""
        if not self._options.enabled:
            return
        runs = self._project / self._options.runs_directory
        for earlier in journals(runs):
            earlier.ended()  # a run that was killed must not be taken to have written what this one will write
        self._journal = Journal.create(runs, self._describe(run_params, pipeline, catalog, runs))
        _warn_if_unreachable(self._journal.start.tracking_uri)
        self._follower = start_follower(self._journal)
        atexit.register(self._close, "KILLED", "interrupted")
        _exit_on_sigterm()

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """The run finished."""
        made = pipeline.all_outputs() & {name for node in pipeline.nodes for name in node.inputs}
        self._close("FINISHED", "", _fingerprints(made, catalog))

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """The run failed."""
        self._close("FAILED", f"{type(error).__name__}: {error}")

    def _close(self, status: str, reason: str, inputs: dict[str, str] | None = None) -> None:
        journal, follower = self._journal, self._follower
        if journal is None or follower is None:
            return
        self._journal = self._follower = None
        atexit.unregister(self._close)
        reports = _reports(self._project / self._options.reports, journal.start.time)
        journal.end(End(status, reason, reports, inputs or {}))
        wait_for_follower(journal, follower, self._options.wait_seconds)

    def _describe(self, run: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol, runs: Path) -> Start:
        run_id = str(run["run_id"])
        return Start(
            run=run_id,
            experiment=self._options.experiment,
            tracking_uri=absolute_uri(self._options.tracking_uri, self._project),
            name=f"{self._env or 'base'} {run_id[:19]}",
            params=_parameters(pipeline, catalog),
            tags=run_tags(self._project, self._env, run_id),
            inputs=_fingerprints(pipeline.inputs(), catalog),
            system_metrics=self._options.system_metrics,
            offsets=log_sizes(runs),
        )


def start_follower(journal: Journal) -> "subprocess.Popen[bytes]":
    """The process that tells MLflow what a journal and its event logs say."""
    command = [sys.executable, "-m", "nymph.tracking", "follow", str(journal.folder)]
    # A session of its own: Ctrl-C in the terminal must stop the run, not the process that reports it.
    with open(journal.folder / "follower.log", "ab") as log:
        return subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def wait_for_follower(journal: Journal, follower: "subprocess.Popen[bytes]", seconds: float) -> None:
    """Wait until MLflow has all of a run that has ended, and say so where it takes longer than `seconds`."""
    if not _completes(follower, seconds):
        _logger.warning(
            "MLflow at %s does not have all of this run yet (%s). Nothing is lost: the next run sends the rest, or "
            "`python -m nymph.tracking replay %s` does.",
            journal.start.tracking_uri,
            journal.sent.error or "it is still being sent",
            journal.runs_directory,
        )


def _completes(follower: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether the follower has sent everything within so many seconds."""
    from nymph.console import console

    try:
        with console().status("telling MLflow the rest"):
            return follower.wait(seconds) == 0
    except subprocess.TimeoutExpired:
        return False


def read_options(config_loader: Any) -> MlflowOptions:
    """The options in `mlflow.yml` of the environment; defaults where there is none.

    Raises:
        NymphError: An unknown option, or a value of the wrong kind.
    """
    try:
        given = dict(config_loader["mlflow"])
    except (KeyError, MissingConfigException):
        return MlflowOptions()
    for key in given:
        if key not in MlflowOptions.model_fields:
            raise NymphError(f"mlflow.yml has no option {key!r}{nearest(str(key), MlflowOptions.model_fields)}")
    try:
        return MlflowOptions(**given)
    except ValidationError as error:
        first = error.errors()[0]
        raise NymphError(f"mlflow.yml: {first['loc'][0]}: {first['msg']}, got {first['input']!r}") from None


def absolute_uri(tracking_uri: str, project: Path) -> str:
    """`sqlite:///relative.db` with the project's path before it; other addresses unchanged.

    MLflow itself would resolve it against the current directory.
    """
    scheme, separator, path = tracking_uri.partition(":///")
    if separator and scheme.startswith("sqlite"):
        return f"{scheme}:///{(project / path).resolve()}"
    return tracking_uri


def _parameters(pipeline: Pipeline, catalog: CatalogProtocol) -> dict[str, str]:
    names = sorted(name for name in pipeline.inputs() if name.startswith("params:"))
    flat: dict[str, str] = {}
    for name in names:
        flat |= flatten(name.removeprefix("params:"), catalog.load(name))
    return flat


def _fingerprints(names: set[str], catalog: CatalogProtocol) -> dict[str, str]:
    """Of every dataset that can say what it holds without loading it (`fingerprint() -> str | None`)."""
    found: dict[str, str] = {}
    for name in sorted(names):
        fingerprint = getattr(catalog.get(name), "fingerprint", None)
        if callable(fingerprint) and (value := fingerprint()):
            found[name] = str(value)
    return found


def run_tags(project: Path, env: str | None, run_id: str) -> dict[str, str]:
    """Where, by whom and from which commit a run was started."""
    tags = {
        "kedro.run_id": run_id,
        "kedro.env": env or "base",
        "argv": " ".join(sys.argv)[:500],
        "pid": str(os.getpid()),
        "host": socket.gethostname(),
        "mlflow.user": os.environ.get("USER", "unknown"),
        "mlflow.source.name": "kedro",
        "mlflow.source.git.commit": _git(project, "rev-parse", "HEAD"),
        "hash.code": _code(),
        "git.dirty": str(bool(_git(project, "status", "--porcelain", "--untracked-files=no"))).lower(),
    }
    return {key: value for key, value in tags.items() if value}


def _reports(folder: Path, since: float) -> list[str]:
    """Files directly in `folder`, of at most 5 MB, written after `since`."""
    stats = {file: file.stat() for file in sorted(folder.glob("*.*")) if file.is_file()}
    return [str(file) for file, stat in stats.items() if stat.st_mtime >= since and stat.st_size <= _REPORT_BYTES]


def _code() -> str:
    """Stands for Nymph's own files: also outside a repository, and for changes that are not committed."""
    folder = Path(nymph.__file__).parent
    return fingerprint([[str(file.relative_to(folder)), sha256_file(file)] for file in sorted(folder.rglob("*.py"))])


def _git(project: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(project), *arguments], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _warn_if_unreachable(tracking_uri: str) -> None:
    address = urlsplit(tracking_uri)
    if address.scheme not in ("http", "https") or not address.hostname:
        return
    try:
        port = address.port or {"http": 80, "https": 443}[address.scheme]
        socket.create_connection((address.hostname, port), timeout=1).close()
    except OSError as error:
        message = "MLflow at %s cannot be reached (%s); the run goes on, and its metrics are sent when it is back."
        _logger.warning(message, tracking_uri, error)


def _exit_on_sigterm() -> None:
    """SIGTERM unwinds the run like Ctrl-C does, so `atexit` closes it; a handler already there stays."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _raise_system_exit)


def _raise_system_exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
