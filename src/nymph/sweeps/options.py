"""What a sweep varies: `params:sweep`."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Value = bool | int | float | str


class Interval(BaseModel):
    """Numbers between two ends; whole ones where both ends are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: int | float
    high: int | float
    """Included."""
    log: bool = False
    """Spread evenly over the logarithm, as fits learning rates."""

    @model_validator(mode="after")
    def _ordered(self) -> "Interval":
        if self.low >= self.high or (self.log and self.low <= 0):
            raise ValueError(f"expected low < high (above 0 with log), got {self.low!r} and {self.high!r}")
        return self

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)


class SweepOptions(BaseModel):
    """`params:sweep`: trainings that differ in some parameters, compared by a loss."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "sweep"
    """The sweep's run directory and MLflow run; another name begins another sweep."""
    method: Literal["grid", "optuna"] = "grid"
    """Every combination, or what Optuna's tree-structured Parzen estimator proposes from the results so far."""
    space: dict[str, list[Value] | Interval] = Field(default_factory=dict)
    """Parameter -> values to choose from or, for Optuna, an interval: `training.clip: [0.5, 1.0]`; null leaves out what
    conf/base has."""
    trials: int = Field(20, ge=1)
    """Trials that Optuna makes."""
    goal: Literal["best_validation_loss", "last_validation_loss", "last_training_loss"] = "best_validation_loss"
    """What to make small."""
    parallel: int = Field(0, ge=0)
    """Trials at a time; 0 is one for each GPU, or one on a CPU."""
    seed: int = 0
    """Of Optuna's proposals."""

    @field_validator("space", mode="before")
    @classmethod
    def _without_null(cls, space: Any) -> Any:
        return (
            {name: values for name, values in space.items() if values is not None} if isinstance(space, dict) else space
        )

    @model_validator(mode="after")
    def _possible(self) -> "SweepOptions":
        for name, values in self.space.items():
            if not name.startswith("training."):
                raise ValueError(f"space.{name}: a sweep varies parameters of `training`, such as training.clip")
            if isinstance(values, Interval) and self.method == "grid":
                raise ValueError(f"space.{name}: a grid needs a list of values; an interval is for method: optuna")
            if values == []:
                raise ValueError(f"space.{name}: expected at least one value, got none")
        return self
