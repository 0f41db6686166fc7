"""The table at the end of a run: each stage, what went in and came out, how long it took, and where to look next."""

import time
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from nymph.stages import Work
from nymph.summary import Stage

ORDER = ("ingestion", "transcription", "features", "sentiment", "tokenizer", "parquet", "training", "evaluation")


class SummaryHook:
    """Collects while the pipeline runs, prints once at the end."""

    def __init__(self) -> None:
        self._stages: dict[str, Stage] = {}
        self._reports: dict[str, dict[str, Any]] = {}
        self._env: str | None = None
        self._started = 0.0
        self._node_started = 0.0

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline) -> None:
        """Begin anew."""
        self._stages, self._reports = {}, {}
        self._env = run_params.get("env")
        self._started = time.monotonic()

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Say what begins."""
        from nymph.console import announce

        self._node_started = time.monotonic()
        announce(node.name)
        self._stage(node).nodes += 1

    @hook_impl
    def after_node_run(self, node: Node, outputs: dict[str, Any]) -> None:
        """Nodes without outputs end here."""
        if not outputs:
            self._stop_clock(node)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any, node: Node) -> None:
        """The work of a node happens while its outputs are saved."""
        stage = self._stage(node)
        if isinstance(data, Work):
            stage.tallies[dataset_name] = data.tally
        elif isinstance(data, dict) and dataset_name.endswith("_report"):
            self._reports[dataset_name] = data
        self._stop_clock(node)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Print the table."""
        from nymph.summary import print_summary

        ordered = sorted(self._stages.items(), key=lambda item: ORDER.index(item[0]) if item[0] in ORDER else 99)
        print_summary(dict(ordered), self._reports, time.monotonic() - self._started, self._env)

    def _stop_clock(self, node: Node) -> None:
        now = time.monotonic()
        self._stage(node).seconds += now - self._node_started
        self._node_started = now

    def _stage(self, node: Node) -> Stage:
        name = next((tag for tag in ORDER if tag in node.tags), node.name)
        return self._stages.setdefault(name, Stage())
