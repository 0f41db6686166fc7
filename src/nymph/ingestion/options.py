"""What ingestion lets a user choose."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from nymph.text.chat import ChatOptions
from nymph.text.normalisation import NormalisationOptions


@dataclass(frozen=True)
class IngestionOptions:
    """`params:ingestion`. A change rereads every file; what stays equal in content is not redone downstream."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    normalisation: NormalisationOptions = field(default_factory=NormalisationOptions)
    """Texts, transcripts and messages are made regular once, here."""
    chat: ChatOptions = field(default_factory=ChatOptions)
    """Which conversations of a tree are kept; `maximum_conversations` counts by file."""
