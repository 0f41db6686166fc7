"""The end of a run for a person: each stage, what was quarantined, the losses, and where to look next."""

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
    out.print(f"  kedro mlflow{suffix}      runs, parameters, metrics, checkpoints")
    outcome = _outcome(stages, seconds)
    out.print(f"[bold green]Done[/bold green] {outcome}")
    if output() == "quiet":
        print(f"Done {outcome}", file=sys.stderr)
    counts = {name: dict(zip(COLUMNS, cells, strict=True)) for name, cells in _rows(stages, reports)}
    record("summary", seconds=round(seconds, 1), stages=counts, reports=reports)


def _outcome(stages: dict[str, Stage], seconds: float) -> str:
    """`in 59 s. 40 items made, 2 quarantined.`, or that nothing was to be done; training makes no items."""
    tallies = [tally for stage in stages.values() for tally in stage.tallies.values()]
    if not tallies:
        return f"in {seconds:.0f} s."
    made, failed = sum(tally.made for tally in tallies), len(_quarantined(stages))
    text = f"{made} items made" if made else "No preparation work was repeated: everything was up to date"
    return f"in {seconds:.0f} s. {text}" + (f", {failed} quarantined." if failed else ".")


COLUMNS = ("in", "out", "made", "reused", "quarantined", "seconds")


def _stage_table(stages: dict[str, Stage], reports: dict[str, dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table(title="What this run did", title_justify="left")
    table.add_column("stage")
    for name in COLUMNS:
        table.add_column(name, justify="right")
    for name, cells in _rows(stages, reports):
        table.add_row(name, *cells)
    return table


def _rows(stages: dict[str, Stage], reports: dict[str, dict[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    """A row for each stage, and below it one for each output where it has several: files and recordings do not add."""
    for name, stage in stages.items():
        several = len(stage.tallies) > 1
        told = _told(reports.get("data_report" if name == "ingestion" else f"{name}_report", {}))
        whole = told if several or not stage.tallies else _counts(*stage.tallies.values())
        yield name, [*whole, f"{stage.seconds:.1f}"]
        if several:
            yield from ((f"  {output}", [*_counts(tally), ""]) for output, tally in stage.tallies.items())


def _counts(tally: Tally) -> list[str]:
    """Items in, out, made, reused and quarantined; those of JSON lines are their files and what failed in them."""
    kept = tally.made + tally.reused
    return [str(number) for number in (kept + tally.failed, kept, tally.made, tally.reused, tally.failed)]


def _told(report: dict[str, Any]) -> list[str]:
    """What a stage says itself, such as `8 rows` in and `200 steps` out, or how many records were used."""
    records = report.get("records", {})
    ends = (report.get("in", records.get("in", "")), report.get("out", records.get("used", "")))
    return [*map(str, ends), "", "", str(records.get("quarantined", ""))]


def _quarantine_lines(stages: dict[str, Stage], most: int = 10) -> Iterator[str]:
    from rich.markup import escape

    found = _quarantined(stages)
    for source, line, reason, message in found[:most]:
        where = source if line is None else f"{source}:{line}"
        yield f"quarantined {escape(visible(where))}: {reason}: {escape(visible(message))}"
    if len(found) > most:
        yield f"... and {len(found) - most} more, in data/08_reporting/quarantine"


def _quarantined(stages: dict[str, Stage]) -> list[tuple[str, int | None, str, str]]:
    """Source, line, reason and message of what failed; a damaged recording fails in each stage that decodes it."""
    failures = (failure for stage in stages.values() for tally in stage.tallies.values() for failure in tally.failures)
    return list(dict.fromkeys((each.item.source, each.line, each.reason, each.message) for each in failures))


def _report_lines(reports: dict[str, dict[str, Any]]) -> Iterator[str]:
    for name, report in reports.items():
        for line in report.get("summary", []):
            yield f"{name.removesuffix('_report')}: {line}"
