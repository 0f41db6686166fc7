"""What `train` returns: the run in a dozen numbers."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nymph.plain import from_plain
from nymph.training.forecast import Outcome
from nymph.training.state import TrainingState


@dataclass(frozen=True)
class Report:
    """How a run went. Losses are of the whole run, `seconds` of this call."""

    status: str
    """finished, stopped (a limit or patience), killed (a signal), or already_finished."""
    steps: int
    """Optimiser updates done so far."""
    tokens: int
    """Positions trained on so far, padding left out."""
    tokens_per_second: float
    """Over all training time of the run."""
    seconds: float
    first_training_loss: float | None
    last_training_loss: float | None
    first_validation_loss: float | None
    last_validation_loss: float | None
    best_validation_loss: float | None
    skipped: int
    """Steps whose update was left out."""
    checkpoint: str | None
    """The last checkpoint written."""
    resumed_from: str | None
    prediction: Outcome | None = None
    """How long this call took, against what an estimate, a plan or its own first steps said."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Report":
        """A report from plain values; NymphError where they are not one."""
        return from_plain(cls, values, "report")


def from_state(
    status: str,
    state: TrainingState,
    checkpoint: Path | None,
    resumed_from: Path | None,
    begin: float,
    prediction: Outcome | None = None,
) -> Report:
    """The report of a run in `state`, whose call began at `begin` (perf_counter)."""
    return Report(
        status=status,
        steps=state.step,
        tokens=state.tokens,
        tokens_per_second=state.tokens / state.seconds if state.seconds else 0.0,
        seconds=time.perf_counter() - begin,
        first_training_loss=state.first_training_loss,
        last_training_loss=state.last_training_loss,
        first_validation_loss=state.first_validation_loss,
        last_validation_loss=state.last_validation_loss,
        best_validation_loss=state.best_loss,
        skipped=state.skipped,
        checkpoint=str(checkpoint) if checkpoint else None,
        resumed_from=str(resumed_from) if resumed_from else None,
        prediction=prediction,
    )
