"""What a person sees in the terminal while a stage works: its name, and a progress bar.

Everything goes to stderr through one rich console; where that is no terminal, bars become single lines.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from nymph.stages import Item, Outcome, Work

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

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
