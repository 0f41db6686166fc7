"""Training as a rich progress bar; it is told what the event log is told, so it shows nothing else."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from nymph.console import console
from nymph.training.console import number, perplexity, step_line


class TrainingBar:
    """A `nymph.training.console.Progress` in the terminal; plain lines where there is no terminal."""

    def __init__(self, every: int = 25) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._every, self._total = every, 0
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("  training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console(),
            transient=True,
            refresh_per_second=4,
        )
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> "TrainingBar":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def start(self, step: int, total: int, text: str) -> None:
        """Training begins after `step` of `total`."""
        self._total = total
        self._bar.update(self._task, total=total, completed=step)
        self.message(text)

    def step(self, event: Mapping[str, Any]) -> None:
        """Move the bar; every now and then leave a line behind."""
        loss = event["losses"].get("next_token")
        text = f"loss {number(event['loss'], '.3f')}  ppl {number(perplexity(loss), '.1f')}"
        text += f"  {number(event['tokens_per_second'], ',.0f')} tokens/s"
        self._bar.update(self._task, completed=event["step"], description=text)
        if event["step"] % self._every == 0 or event["step"] == self._total:
            self.message(step_line(event, self._total))

    def message(self, text: str) -> None:
        """A sentence above the bar."""
        console().print(f"  {text}", markup=False, style="dim", soft_wrap=True)

    def end(self, text: str) -> None:
        """Why training ended."""
        self.message(text)
