"""What was predicted of a run, and how wrong that was.

A prediction comes from `kedro estimate` or `kedro plan`, or else from the run's own first steps; when the run ends, it
is held against what really happened. A run that nobody estimated thus still says how far its own clock can be trusted.
"""

from dataclasses import dataclass, field
from statistics import median
from typing import Any, ClassVar, Literal

from nymph.model.config import STRICT

FIRST_STEPS = 50
"""Steps after which a run predicts its own end; a tenth of it where it is shorter than ten times as much."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a step and an evaluation will take."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    source: Literal["estimate", "plan", "first steps"]
    step_seconds: float
    evaluation_seconds: float = 0.0
    memory_bytes: int = 0
    """Peak on rank 0; 0 where it was not predicted."""

    def seconds(self, first: int, last: int, steps: int, evaluation_every: int) -> float:
        """Of the updates after step `first` up to `last` in a run of `steps`, with their evaluations."""
        evaluations = _evaluations(last, steps, evaluation_every)
        evaluations -= _evaluations(first, steps, evaluation_every) if first else 0
        return (last - first) * self.step_seconds + evaluations * self.evaluation_seconds


def _evaluations(step: int, steps: int, every: int) -> int:
    """Evaluations up to `step`: before the first step, every so often, and after the last."""
    regular = 1 + (step // every if every else 0)
    return regular + (step == steps and not (every and steps % every == 0))


@dataclass(frozen=True)
class Outcome:
    """How right a prediction was."""

    source: str
    predicted_seconds: float
    seconds: float
    """Of one call of `train`: its steps, and its evaluations where the prediction has them."""
    error: float
    """Share by which the fact was above the prediction."""
    predicted_memory_bytes: int | None
    memory_bytes: int
    """Peak on rank 0."""


@dataclass
class Forecast:
    """Watches the clock of one call of `train`."""

    steps: int
    evaluation_every: int
    first: int
    """Step it began at."""
    prediction: Prediction | None = None
    _times: list[float] = field(default_factory=list)
    _evaluations: list[float] = field(default_factory=list)
    _made_at: int = 0
    _seconds_before: float = 0.0

    def __post_init__(self) -> None:
        self._made_at = self.first

    def step(self, step: int, seconds: float) -> bool:
        """Note an update; whether the end has just been predicted."""
        if self.prediction is not None:
            return False
        self._times.append(seconds)
        if len(self._times) < max(2, min(FIRST_STEPS, self.steps // 10)):
            return False
        usual = median(self._times)
        self.prediction = Prediction(
            source="first steps", step_seconds=usual, evaluation_seconds=median(self._evaluations or [0.0])
        )
        self._made_at, self._seconds_before = step, sum(self._times) + sum(self._evaluations)
        return True

    def evaluation(self, seconds: float) -> None:
        """Note an evaluation."""
        self._evaluations.append(seconds)

    def seconds(self, last: int) -> float | None:
        """Predicted for this call up to step `last`, None while nothing is predicted."""
        if self.prediction is None:
            return None
        return self._seconds_before + self.prediction.seconds(self._made_at, last, self.steps, self.evaluation_every)

    def outcome(self, last: int, seconds: float, memory_bytes: int) -> Outcome | None:
        """Prediction and fact side by side; None where nothing was predicted or nothing has come since."""
        predicted = self.seconds(last)
        if self.prediction is None or not predicted or last <= self._made_at:
            return None
        if not self.prediction.evaluation_seconds:  # then it speaks of steps alone
            seconds -= sum(self._evaluations)
        expected = self.prediction.memory_bytes or None
        return Outcome(self.prediction.source, predicted, seconds, seconds / predicted - 1, expected, memory_bytes)
