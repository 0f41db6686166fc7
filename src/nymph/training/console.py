"""What a person sees while training: a line now and then, and messages. Kedro's side passes a rich one instead."""

import math
import sys
from collections.abc import Mapping
from typing import Any, Protocol


class Progress(Protocol):
    """Told what happens; must return quickly and never raise."""

    def start(self, step: int, total: int, text: str) -> None:
        """Training begins after `step` of `total`."""

    def step(self, event: Mapping[str, Any]) -> None:
        """A `step` event of the log."""

    def message(self, text: str) -> None:
        """A sentence for the user: resumed, evaluated, saved, alerted."""

    def end(self, text: str) -> None:
        """Training ended; why."""


class Silence:
    """Says nothing."""

    def start(self, step: int, total: int, text: str) -> None: ...

    def step(self, event: Mapping[str, Any]) -> None: ...

    def message(self, text: str) -> None: ...

    def end(self, text: str) -> None: ...


class Lines:
    """One line each `every` steps on standard output."""

    def __init__(self, every: int = 10) -> None:
        self._every, self._total = every, 0

    def start(self, step: int, total: int, text: str) -> None:
        self._total = total
        self.message(text)

    def step(self, event: Mapping[str, Any]) -> None:
        if event["step"] % self._every == 0 or event["step"] == self._total:
            self.message(step_line(event, self._total))

    def message(self, text: str) -> None:
        print(text, file=sys.stdout, flush=True)

    def end(self, text: str) -> None:
        self.message(text)


def step_line(event: Mapping[str, Any], total: int) -> str:
    """`Step 150/2000 | Loss: 2.4568 | PPL: 11.67 | ...` for a `step` event."""
    token_loss = event["losses"].get("next_token")
    parts = [
        f"Step {event['step']:>{len(str(total))}}/{total}",
        f"Loss: {number(event['loss'], '.4f')}",
        *(f"{name}: {number(loss, '.4f')}" for name, loss in event["losses"].items() if len(event["losses"]) > 1),
        f"PPL: {number(perplexity(token_loss), '.2f')}",
        f"LR: {number(event['learning_rate'], '.2e')}",
        f"GradNorm: {number(event['gradient_norm'], '.4f')}",
        f"Tokens/s: {number(event['tokens_per_second'], ',.0f')}",
        f"Memory: {event['memory_bytes'] / 1e9:.1f}GB",
        f"Wait: {number(event['data_wait'], '.1%')}",
        f"Health: {event.get('health', 'OK')}",
    ]
    return " | ".join(parts)


def perplexity(loss: float | None) -> float | None:
    """exp(loss), None where there is no loss or it overflows."""
    return math.exp(loss) if loss is not None and loss < 700 else None


def number(value: float | None, form: str) -> str:
    """A number in `form`, or a dash for None."""
    return "-" if value is None else format(value, form)
