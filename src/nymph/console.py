"""What a person sees in the terminal: a progress bar for each stage, and the summary at the end.

Everything goes to stderr through one rich console; where that is no terminal, bars become single lines.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from nymph.stages import Item, Outcome, Work

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from nymph.hooks.summary import Stage

T = TypeVar("T")
_console: list["Console"] = []


def console() -> "Console":
    """The shared rich console on stderr."""
    if not _console:
        from rich.console import Console

        width = None if os.environ.get("COLUMNS") or os.isatty(2) else 120
        _console.append(Console(stderr=True, width=width, highlight=False))
    return _console[0]


def announce(name: str) -> None:
    """Say that a node begins."""
    console().print(f"[bold]{name.replace('_', ' ')}[/bold]")


def carry_out(work: Work, done: Callable[[Item], bool]) -> Iterator[Outcome]:
    """The outcomes of work, with a progress bar while there is anything to make."""
    with progress_bar() as bar:
        task = None
        for outcome in work.outcomes(done):
            if task is None:
                task = bar.add_task(work.stage, total=work.tally.items - work.tally.reused)
            bar.advance(task)
            yield outcome
    tally = work.tally
    if tally.items and not tally.made and not tally.failed:
        console().print(f"  nothing to do: all {tally.items} up to date", style="dim")


def track(values: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Values as they come, with a progress bar."""
    with progress_bar() as bar:
        task = bar.add_task(description, total=total)
        for value in values:
            yield value
            bar.advance(task)


def progress_bar() -> "Progress":
    """A bar with count, rate and time left, gone when it is done."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        SpinnerColumn(),
        TextColumn("  {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console(),
        transient=True,
    )


def print_summary(
    stages: dict[str, "Stage"], reports: dict[str, dict[str, Any]], seconds: float, env: str | None
) -> None:
    """The table of stages, what was quarantined, the losses, and where to look next."""
    out = console()
    out.print()
    out.print(_stage_table(stages))
    made = sum(tally.made for stage in stages.values() for tally in stage.tallies.values())
    if any(stage.tallies for stage in stages.values()) and not made:
        out.print("No preparation work was repeated: everything was up to date.")
    for line in _quarantine_lines(stages):
        out.print(line, style="yellow")
    for line in _report_lines(reports):
        out.print(line)
    suffix = f" --env {env}" if env else ""
    out.print(f"[bold green]Done[/bold green] in {seconds:.0f} s. Where to look next:")
    out.print(f"  kedro dashboard{suffix}   losses, live and past")
    out.print(f"  kedro viz run{suffix}     the pipeline and its data")
    out.print(f"  {_mlflow_command()}   runs, parameters, metrics, checkpoints")


def _stage_table(stages: dict[str, "Stage"]) -> Any:
    from rich.table import Table

    table = Table(title="What this run did", title_justify="left")
    table.add_column("stage")
    for name in ("items", "made", "reused", "quarantined", "seconds"):
        table.add_column(name, justify="right")
    for name, stage in stages.items():
        tallies = stage.tallies.values()
        counts = [sum(getattr(tally, field) for tally in tallies) for field in ("items", "made", "reused", "failed")]
        shown = [str(count) for count in counts] if tallies else ["", "", "", ""]
        table.add_row(name, *shown, f"{stage.seconds:.1f}")
    return table


def _quarantine_lines(stages: dict[str, "Stage"], most: int = 10) -> Iterator[str]:
    from rich.markup import escape

    failures = [failure for stage in stages.values() for tally in stage.tallies.values() for failure in tally.failures]
    for failure in failures[:most]:
        where = failure.item.source if failure.line is None else f"{failure.item.source}:{failure.line}"
        yield f"quarantined {escape(where)}: {failure.reason}: {escape(failure.message)}"
    if len(failures) > most:
        yield f"... and {len(failures) - most} more, in data/08_reporting/quarantine"


def _report_lines(reports: dict[str, dict[str, Any]]) -> Iterator[str]:
    for name, report in reports.items():
        for line in report.get("summary", []):
            yield f"{name.removesuffix('_report')}: {line}"


def _mlflow_command() -> str:
    return f"mlflow ui --backend-store-uri {os.environ.get('NYMPH_MLFLOW', 'sqlite:///data/08_reporting/mlflow/mlflow.db')}"
