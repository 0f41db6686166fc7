"""The end of a run for a person: each stage, what was quarantined, the losses, and where to look next."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from nymph.console import console
from nymph.output import output, record
from nymph.stages import Tally
from nymph.visible import visible


@dataclass
class Stage:
    """What a stage did in this run."""

    seconds: float = 0.0
    nodes: int = 0
    tallies: dict[str, Tally] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def print_summary(
    stages: dict[str, Stage], reports: dict[str, dict[str, Any]], seconds: float, env: str | None
) -> None:
    """The table of stages, what was quarantined, the losses, and where to look next; the last line is the outcome."""
    out = console()
    out.print()
    out.print(_stage_table(stages, reports))
    for line in _quarantine_lines(stages):
        out.print(line, style="yellow")
    for line in _report_lines(reports):
        out.print(line)
    suffix = f" --env {env}" if env else ""
    out.print("Where to look next:")
    out.print(f"  kedro dashboard{suffix}   losses, live and past")
    out.print(f"  kedro viz run{suffix}     the pipeline and its data")
    out.print(f"  {_mlflow_command()}   runs, parameters, metrics, checkpoints")
    outcome = _outcome(stages, seconds)
    out.print(f"[bold green]Done[/bold green] {outcome}")
    if output() == "quiet":
        print(f"Done {outcome}", file=sys.stderr)
    counts = {name: dict(zip(COLUMNS, _row(name, stage, reports), strict=True)) for name, stage in stages.items()}
    record("summary", seconds=round(seconds, 1), stages=counts, reports=reports)


def _outcome(stages: dict[str, Stage], seconds: float) -> str:
    """`in 59 s: 40 items made, 2 quarantined.`, or that nothing was to be done."""
    tallies = [tally for stage in stages.values() for tally in stage.tallies.values()]
    made, failed = sum(tally.made for tally in tallies), sum(tally.failed for tally in tallies)
    if tallies and not made:
        text = "No preparation work was repeated: everything was up to date"
    else:
        text = f"{made} items made"
    return f"in {seconds:.0f} s. {text}" + (f", {failed} quarantined." if failed else ".")


COLUMNS = ("in", "out", "made", "reused", "quarantined", "seconds")


def _stage_table(stages: dict[str, Stage], reports: dict[str, dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table(title="What this run did", title_justify="left")
    table.add_column("stage")
    for name in COLUMNS:
        table.add_column(name, justify="right")
    for name, stage in stages.items():
        table.add_row(name, *_row(name, stage, reports))
    return table


def _row(name: str, stage: Stage, reports: dict[str, dict[str, Any]]) -> list[str]:
    """A stage's cell for each of COLUMNS."""
    counts = _counts(stage) if stage.tallies else _told(reports.get(f"{name}_report", {}))
    return [*counts, f"{stage.seconds:.1f}"]


def _counts(stage: Stage) -> list[str]:
    """Items in, out, made, reused and quarantined, summed over the stage's outputs."""
    tallies = stage.tallies.values()
    made, reused, failed = (sum(getattr(tally, name) for tally in tallies) for name in ("made", "reused", "failed"))
    return [str(number) for number in (made + reused + failed, made + reused, made, reused, failed)]


def _told(report: dict[str, Any]) -> list[str]:
    """What a stage that makes no items says itself, such as `8 rows` in and `200 steps` out."""
    return [str(report.get("in", "")), str(report.get("out", "")), "", "", ""]


def _quarantine_lines(stages: dict[str, Stage], most: int = 10) -> Iterator[str]:
    from rich.markup import escape

    failures = [failure for stage in stages.values() for tally in stage.tallies.values() for failure in tally.failures]
    for failure in failures[:most]:
        where = failure.item.source if failure.line is None else f"{failure.item.source}:{failure.line}"
        yield f"quarantined {escape(visible(where))}: {failure.reason}: {escape(visible(failure.message))}"
    if len(failures) > most:
        yield f"... and {len(failures) - most} more, in data/08_reporting/quarantine"


def _report_lines(reports: dict[str, dict[str, Any]]) -> Iterator[str]:
    for name, report in reports.items():
        for line in report.get("summary", []):
            yield f"{name.removesuffix('_report')}: {line}"


def _mlflow_command() -> str:
    return f"mlflow ui --backend-store-uri {os.environ.get('NYMPH_MLFLOW', 'sqlite:///data/08_reporting/mlflow/mlflow.db')}"
