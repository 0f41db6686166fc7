"""Training as a rich progress bar; it is told what the event log is told, so it shows nothing else."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from nymph.console import console, progress_bar
from nymph.output import record
from nymph.training.console import number, perplexity, step_line


class TrainingBar:
    """A `nymph.training.console.Progress` in the terminal; plain lines where there is no terminal."""

    def __init__(self, every: int = 25) -> None:
        from rich.progress import TextColumn

        self._every, self._total = every, 0
        self._bar = progress_bar(TextColumn("{task.fields[figures]}"))
        self._task = self._bar.add_task("training", total=None, figures="")

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
        self._bar.update(self._task, completed=event["step"], figures=text)
        if event["step"] % self._every == 0 or event["step"] == self._total:
            self._print(step_line(event, self._total))
            record("step", total=self._total, **{name: value for name, value in event.items() if name != "kind"})

    def message(self, text: str) -> None:
        """A sentence above the bar."""
        self._print(text)
        record("training", message=text)

    def _print(self, text: str) -> None:
        console().print(f"  {text}", markup=False, style="dim", soft_wrap=True)

    def end(self, text: str) -> None:
        """Why training ended."""
        self.message(text)
