"""What a run knows about itself besides tensors: small, JSON, saved with every checkpoint, restored exactly."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nymph.plain import from_plain


@dataclass
class TrainingState:
    """Changes as training goes on; the only mutable part of a run that is not a tensor."""

    rows: str = ""
    """Fingerprint of the training rows the cursor counts in."""
    step: int = 0
    """Optimiser updates done, skipped ones included."""
    cursor: int = 0
    """First global row position not trained on."""
    tokens: int = 0
    """Positions trained on, padding left out."""
    seconds: float = 0.0
    """Training time over all processes of the run."""
    skipped: int = 0
    """Steps whose update was left out."""
    skipped_in_a_row: int = 0
    first_training_loss: float | None = None
    last_training_loss: float | None = None
    first_validation_loss: float | None = None
    last_validation_loss: float | None = None
    validation_loss: float | None = None
    """Of exactly this step; None where it was not evaluated."""
    best_loss: float | None = None
    best_step: int = 0
    evaluations_without_gain: int = 0
    finished: str = ""
    """Why the run is complete; empty while it is not."""
    precision: str = ""
    """What the run computes in; empty before its first step."""
    rollbacks: int = 0
    """Times the run went back to a checkpoint and left rows out."""
    scaler: dict[str, Any] = field(default_factory=dict)
    """Of fp16 loss scaling."""
    monitor: dict[str, Any] = field(default_factory=dict)
    """What the health rules remember."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainingState":
        """A state from plain values; NymphError where they are not one."""
        return from_plain(cls, dict(values), "state")

    def go_back(self, to: "TrainingState") -> None:
        """Become `to`, an earlier state of this run, but for the rows left behind and the time it took."""
        kept = ("cursor", "seconds", "skipped")
        values = to.to_dict() | {name: getattr(self, name) for name in kept}
        values |= {"skipped_in_a_row": 0, "rollbacks": self.rollbacks + 1}
        self.__dict__.update(values)

    def evaluated(self, loss: float) -> bool:
        """Remember a validation loss; whether it is the best so far. One that is not finite is no loss."""
        better = math.isfinite(loss) and (self.best_loss is None or loss < self.best_loss)
        self.validation_loss = self.last_validation_loss = loss if math.isfinite(loss) else None
        if self.first_validation_loss is None:
            self.first_validation_loss = self.validation_loss
        if better:
            self.best_loss, self.best_step = loss, self.step
        self.evaluations_without_gain = 0 if better else self.evaluations_without_gain + 1
        return better
