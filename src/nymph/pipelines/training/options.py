"""Options of the training stage: a model by preset, and every field of a `Job` that is not a place."""

import dataclasses
from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from nymph.model.config import ModelConfig
from nymph.model.presets import PRESETS, preset
from nymph.plain import from_plain, to_plain
from nymph.training.job import Job

DECIDED = (
    "train_rows",
    "train_weights",
    "validation_rows",
    "run_directory",
    "checkpoint_directory",
    "model",
    "prediction",
)
"""Fields of `Job` that the catalog, the preset, and an estimate or plan decide."""


def _job_fields() -> dict[str, Any]:
    hints = get_type_hints(Job)
    fields = [field for field in dataclasses.fields(Job) if field.name not in DECIDED]
    return {field.name: (hints[field.name], _default(field)) for field in fields}


def _default(field: Any) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return Field(default_factory=field.default_factory)


_JobFields: type[BaseModel] = create_model("_JobFields", **_job_fields())


class TrainingOptions(_JobFields):  # type: ignore[misc, valid-type]
    """`params:training`: the fields below and those of `nymph.training.job.Job` but for its places."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: Literal["tiny", "debug", "small", "medium", "large"] = "tiny"
    """Size of the model; `nymph.model.presets` has the table."""
    attention: Literal["mla", "gqa"] = "mla"
    """Form of the preset's attention."""
    architecture: dict[str, Any] = Field(default_factory=dict)
    """Fields of `nymph.model.config.ModelConfig` that differ from the preset."""
    plan: str | None = None
    """A plan file that `kedro plan` made and you may have edited: who of several devices does what."""

    @model_validator(mode="after")
    def _possible(self) -> "TrainingOptions":
        self.model_for(vocabulary_size=1024, context_length=256, sentiment_classes=3)
        return self

    def model_for(self, **data: int) -> ModelConfig:
        """The model for rows of this vocabulary and context length.

        Raises:
            NymphError: an unknown field, or an impossible combination, with the reason.
        """
        chosen = to_plain(preset(self.preset, self.attention)) | data
        return from_plain(ModelConfig, _merged(chosen, self.architecture), "training.architecture")

    def job_fields(self) -> dict[str, Any]:
        """The values of the `Job` fields."""
        return {name: getattr(self, name) for name in _JobFields.model_fields}


def _merged(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for name, change in changes.items():
        nested = isinstance(change, dict) and isinstance(merged.get(name), dict) and "type" not in change
        merged[name] = _merged(merged[name], change) if nested else change
    return merged


assert PRESETS == ("tiny", "debug", "small", "medium", "large")
