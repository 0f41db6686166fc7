"""Kedro's side of the dashboard: note how far preparation is; start the page or the sender where that is asked for."""

import atexit
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kedro.config import MissingConfigException
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from nymph import output
from nymph.dashboard.options import DashboardOptions
from nymph.dashboard.preparation import PREPARATION
from nymph.training.events import EVENTS, EventLog

LOGS_KEPT = 20
_GOODBYE_SECONDS = 10.0


class DashboardHook:
    """One Kedro run, for those who watch it from the page."""

    def __init__(self) -> None:
        self._options = DashboardOptions()
        self._project = Path()
        self._log: EventLog | None = None
        self._beside: list[subprocess.Popen[bytes]] = []

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Read `dashboard.yml`."""
        self._project = Path(context.project_path)
        try:
            self._options = DashboardOptions.model_validate(dict(context.config_loader["dashboard"]))
        except (KeyError, MissingConfigException):
            self._options = DashboardOptions()

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline) -> None:
        """Open the log of this run's stages, and start what runs beside it."""
        folder = self._project / self._options.runs / PREPARATION
        for old in sorted(folder.glob("*"))[: -LOGS_KEPT + 1]:
            shutil.rmtree(old, ignore_errors=True)
        self._log = EventLog(folder / str(run_params["run_id"]) / EVENTS)
        self._log.write("start", stages=list(dict.fromkeys(map(_stage, pipeline.nodes))))
        output.LISTENERS.append(self._hear)
        modes = [name for name, wanted in (("serve", self._options.serve), ("send", self._options.send)) if wanted]
        self._beside = [self._start(mode) for mode in modes]
        atexit.register(self._close, "failed", "interrupted")

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """A node begins."""
        if self._log:
            self._log.write("node", stage=_stage(node), name=node.name)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """The run finished."""
        self._close("finished", "")

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """The run failed."""
        self._close("failed", f"{type(error).__name__}: {error}")

    def _hear(self, kind: str, fields: Mapping[str, Any]) -> None:
        if kind == "progress" and self._log:
            self._log.write(kind, **fields)

    def _start(self, mode: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "nymph.dashboard.beside", mode, str(self._project)]
        # A session of its own: Ctrl-C must reach the run alone. What it says goes to stderr: stdout may be JSON lines.
        return subprocess.Popen(
            [*command, self._options.model_dump_json()], stdin=subprocess.PIPE, stdout=2, start_new_session=True
        )

    def _close(self, status: str, reason: str) -> None:
        if self._log is None:
            return
        atexit.unregister(self._close)
        output.LISTENERS.remove(self._hear)
        self._log.write("end", status=status, reason=reason)
        self._log.close()
        self._log = None
        for process in self._beside:
            try:
                process.communicate(timeout=_GOODBYE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _stage(node: Node) -> str:
    return str(node.namespace or next(iter(sorted(node.tags)), node.name))
