"""Options of the features stage."""

from pydantic import BaseModel, ConfigDict, Field

from nymph.audio.pyin import PitchRange


class FeatureOptions(BaseModel):
    """`params:features`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pitch: PitchRange = Field(default_factory=PitchRange)
    """Where to look for the fundamental frequency."""
