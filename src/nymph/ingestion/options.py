"""What ingestion lets a user choose."""

from pydantic import BaseModel, ConfigDict, Field

from nymph.text.chat import ChatOptions
from nymph.text.normalisation import NormalisationOptions


class IngestionOptions(BaseModel):
    """`params:ingestion`. A change rereads every file; what stays equal in content is not redone downstream."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    normalisation: NormalisationOptions = Field(default_factory=NormalisationOptions)
    """Texts, transcripts and messages are made regular once, here."""
    chat: ChatOptions = Field(default_factory=ChatOptions)
    """Which conversations of a tree are kept; `maximum_conversations` counts by file."""
