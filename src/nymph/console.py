"""What is seen in the terminal while a stage works: its name, and a progress bar; or JSON lines, or nothing.

Everything for people goes to stderr through one rich console, which is mute unless the output is `rich`; where that is
no terminal, bars become single lines.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

from nymph.output import output, record
from nymph.stages import Failed, Item, Outcome, Work

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn

T = TypeVar("T")
_console: list["Console"] = []
SECONDS_BETWEEN_RECORDS = 1.0


def console() -> "Console":
    """The shared rich console on stderr."""
    if not _console:
        from rich.console import Console

        width = None if os.environ.get("COLUMNS") or os.isatty(2) else 120
        _console.append(Console(stderr=True, width=width, highlight=False, quiet=output() != "rich"))
    return _console[0]


def announce(name: str) -> None:
    """Say that a node begins."""
    console().print(f"[bold]{name.replace('_', ' ')}[/bold]")
    record("node", name=name)


def carry_out(work: Work, done: Callable[[Item], bool], failed: Mapping[str, Failed] = {}) -> Iterator[Outcome]:
    """`work.outcomes(done, failed)`, with a progress bar while there is anything to make."""
    with progress_bar() as bar:
        task, told = None, time.monotonic()
        for outcome in work.outcomes(done, failed):
            if task is None:
                task = bar.add_task(work.stage, total=work.tally.items - work.tally.reused - work.tally.failed)
            bar.advance(task)
            if time.monotonic() - told > SECONDS_BETWEEN_RECORDS:
                told = time.monotonic()
                _record_progress(work)
            yield outcome
    _record_progress(work)
    tally = work.tally
    if tally.items and not tally.made and not tally.failed:
        console().print(f"  nothing to do: all {tally.items} up to date", style="dim")


def _record_progress(work: Work) -> None:
    tally = work.tally
    counts = {"items": tally.items, "made": tally.made, "reused": tally.reused, "quarantined": tally.failed}
    record("progress", stage=work.stage, **counts)


def track(values: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Values as they come, with a progress bar."""
    with progress_bar() as bar:
        task = bar.add_task(description, total=total)
        for value in values:
            yield value
            bar.advance(task)


def progress_bar(*columns: "ProgressColumn") -> "Progress":
    """A bar with count, time taken and time left, gone when it is done; `columns` stand between count and times."""
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
        *columns,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console(),
        transient=True,
        refresh_per_second=4,
    )
