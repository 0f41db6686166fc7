"""What became of each trial: one JSON file, rewritten atomically, from which a sweep continues wherever it ended."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from nymph.files import read_json, write_json
from nymph.plain import from_plain, to_plain

LEDGER = "trials.json"


@dataclass(frozen=True)
class Trial:
    """One training of a sweep."""

    number: int
    params: dict[str, Any]
    run: str
    """Name of its run directory."""
    steps: int
    """It was to make."""
    status: Literal["running", "done", "failed"] = "running"
    """`running` until its end is known: a sweep that was killed takes it up again."""
    value: float | None = None
    """What the sweep makes small."""
    reason: str = ""
    """Why it failed."""


@dataclass
class Ledger:
    """The trials of one sweep, in the order they began."""

    path: Path
    trials: list[Trial] = field(default_factory=list)

    @classmethod
    def open(cls, folder: Path) -> "Ledger":
        """The ledger in `folder`, empty where there is none."""
        path = folder / LEDGER
        found = read_json(path)["trials"] if path.exists() else []
        return cls(path, [from_plain(Trial, values, "trial") for values in found])

    def put(self, trial: Trial) -> None:
        """Add a trial, or replace the one of its number."""
        self.trials = sorted([*(each for each in self.trials if each.number != trial.number), trial], key=_number)
        write_json(self.path, {"trials": [to_plain(each) for each in self.trials]})

    def close(self, trial: Trial, value: float | None, reason: str = "") -> Trial:
        """Note how a trial ended."""
        ended = replace(trial, status="failed" if value is None else "done", value=value, reason=reason)
        self.put(ended)
        return ended

    @property
    def best(self) -> Trial | None:
        """The trial with the smallest value."""
        done = [trial for trial in self.trials if trial.value is not None]
        return min(done, key=lambda trial: trial.value or 0.0, default=None)


def _number(trial: Trial) -> int:
    return trial.number
