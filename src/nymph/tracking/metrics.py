"""Event log lines as named numbers: the one naming that MLflow and the dashboard share.

`step` becomes `train/loss`, `train/loss.next_token`, ...; an `evaluation` of split `validation` becomes
`validation/loss`; any other kind with numbers becomes `<kind>/<field>`. `null` stays: it is NaN or infinity.
"""

from collections.abc import Iterator
from typing import Any

_NOT_METRICS = {"seq", "time", "kind", "step", "split", "rank", "total_steps"}
_SILENT = {"start", "resume", "alert", "end", "checkpoint", "sample", "control"}


def numbers(event: dict[str, Any]) -> Iterator[tuple[str, float | None]]:
    """Yield `(name, value)` for every number in an event; None stands for a value that was not finite."""
    kind = event.get("kind")
    if not isinstance(kind, str) or kind in _SILENT:
        return
    group = {"step": "train", "evaluation": str(event.get("split", "evaluation"))}.get(kind, kind)
    for key, value in event.items():
        if key in _NOT_METRICS:
            continue
        if isinstance(value, dict):
            field = {"losses": "loss"}.get(key, key)
            yield from ((f"{group}/{field}.{inner}", number) for inner, number in value.items() if _is_number(number))
        elif _is_number(value):
            yield f"{group}/{key}", value


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
