"""Tasks as parameters: conditions -> targets over streams. A new task is a few lines of configuration.

    transcribe_with_emotion: {conditions: [audio], targets: [sentiment, text]}

A document reads: the task's prompt as plain words behind `<|task|>` (so a new task needs no new token), the
conditions, which count nothing in the loss, the targets, which count in full, and the end.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from nymph.errors import NymphError, nearest

Stream = Literal["text", "audio", "interleaved", "turns", "prosody", "sentiment", "speaker", "language", "image"]
Feature = Literal["audio", "prosody", "sentiment", "speaker"]
Kind = Literal["speech", "text", "chat"]

STREAMS: tuple[Stream, ...] = (
    *("text", "audio", "interleaved", "turns", "prosody", "sentiment", "speaker", "language", "image"),
)
FEATURES: tuple[Feature, ...] = ("audio", "prosody", "sentiment", "speaker")


def _check(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise NymphError(f"unknown {what} {value!r}: expected one of {known}{nearest(value, known)}")


@dataclass(frozen=True)
class Task:
    """One way to read utterances."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    conditions: tuple[Stream, ...] = ()
    """Streams that are given."""
    targets: tuple[Stream, ...] = ("text",)
    """Streams that are learned."""
    kinds: tuple[Kind, ...] = ("speech",)
    """Utterances it applies to."""
    unit: Literal["utterance", "recording"] = "utterance"
    """What one document holds; a recording's utterances follow each other, speakers announced."""
    carries: tuple[Feature, ...] = ()
    """Features that text tokens carry from the time they were spoken; leave out what generation will not have."""
    weight: float = 1.0
    """Documents per utterance or recording: 0.5 takes every other one, 2 takes each twice, 0 switches off."""
    prompt: str | None = None
    """Words behind `<|task|>`; null is the task's name, empty is no prompt."""

    def __post_init__(self) -> None:
        for stream in (*self.conditions, *self.targets):
            _check("stream", stream, STREAMS)
        for feature in self.carries:
            _check("carried feature", feature, FEATURES)
        if not self.targets:
            raise NymphError("a task needs at least one target stream")
        if not 0 <= self.weight <= 100:
            raise NymphError(f"task weight: expected 0 to 100, got {self.weight}")

    @property
    def conditional(self) -> bool:
        """Whether targets mean nothing without what stands before them."""
        return bool(self.conditions)


TASKS: Mapping[str, Task] = {
    "continue": Task(kinds=("speech", "text"), unit="recording", carries=FEATURES, prompt=""),
    "transcribe": Task(conditions=("audio",)),
    "transcribe_with_emotion": Task(conditions=("audio",), targets=("sentiment", "text")),
    "speak": Task(conditions=("speaker", "sentiment", "prosody", "text"), targets=("audio",)),
    "converse": Task(targets=("turns",), kinds=("chat", "speech"), unit="recording", prompt=""),
    "interleave": Task(targets=("interleaved",), unit="recording", prompt=""),
    "autoencode": Task(carries=FEATURES, weight=0.0),
}
"""The tasks of the default configuration. `autoencode` is for the autoencoder objective and off elsewhere."""


def prompt_of(name: str, task: Task) -> str:
    """The words that announce a task."""
    return name.replace("_", " ") if task.prompt is None else task.prompt
