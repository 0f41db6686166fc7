"""Options of the features stage."""

from pydantic import BaseModel, ConfigDict, Field

from nymph.audio.pyin import PitchRange


class FeatureOptions(BaseModel):
    """`params:features`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pitch: PitchRange = Field(default_factory=PitchRange)
    """Where to look for the fundamental frequency."""
    speaker_distance: float = Field(default=0.25, gt=0, lt=2)
    """Cosine distance between mean speaker vectors above which voices of two recordings are two people."""
