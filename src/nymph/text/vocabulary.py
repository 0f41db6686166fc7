"""The special tokens, declared once: every one is atomic, has a fixed low id and never comes out of ordinary text.

Control tokens stand in front of the text tokens, in the order of `SpecialTokens.control_tokens`, so their ids depend
on this declaration alone. Audio units are appended behind the text tokens, where they can grow without moving an id.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from nymph.errors import NymphError, nearest

PADDING = "<|padding|>"
END_OF_DOCUMENT = "<|end_of_document|>"
END_OF_TURN = "<|end_of_turn|>"
TASK = "<|task|>"
SPEAKER_TURN = "<|speaker_turn|>"
PAUSE = "<|pause|>"
AUDIO = "<|audio|>"
AUDIO_START = "<|audio_start|>"
AUDIO_END = "<|audio_end|>"
IMAGE = "<|image|>"
IMAGE_START = "<|image_start|>"
IMAGE_END = "<|image_end|>"

ROLES = ("system", "user", "assistant")
ROLE_ALIASES = {"prompter": "user", "human": "user", "ai": "assistant", "bot": "assistant"}
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% set role = {'prompter': 'user', 'human': 'user', 'ai': 'assistant', 'bot': 'assistant'}"
    ".get(message['role'], message['role']) %}"
    "{{ '<|' + role + '|>' + message['content'] + '<|end_of_turn|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
"""Jinja for `transformers`: a role token, the words, the end of the turn. `nymph.text.chat.render` gives the ids."""
PROSODY_DIMENSIONS = ("pitch", "energy", "rate")


@dataclass(frozen=True)
class SpecialTokens:
    """What the tokenizer knows beside text. Every field may be given in a configuration file."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    sentiments: tuple[str, ...] = ("negative", "neutral", "positive")
    """Labels of the sentiment model, in class order: the index is the `sentiment` value of a training row."""
    prosody_bins: int = 5
    """Bins of pitch, energy and rate each; their quantile edges are learned from the corpus."""
    languages: tuple[str, ...] = ("en", "de", "fr", "es", "it", "pt", "nl", "pl", "ru", "zh", "ja", "ko")
    """ISO 639-1 codes with a token of their own; other languages are left unmarked."""
    punctuation: tuple[str, ...] = ("...", "\u2026", "\u2014")
    """Punctuation that is one token wherever it stands in a text. None may be the beginning of another."""

    def __post_init__(self) -> None:
        _check_labels("sentiments", self.sentiments)
        _check_labels("languages", self.languages)
        _check_punctuation(self.punctuation)
        if not 2 <= self.prosody_bins <= 32:
            raise NymphError(f"prosody_bins: expected 2 to 32, got {self.prosody_bins}")

    def control_tokens(self) -> tuple[str, ...]:
        """Every control token, in the order of their ids from 0; padding is 0."""
        bins = range(self.prosody_bins)
        return (
            *(PADDING, END_OF_DOCUMENT, END_OF_TURN, TASK, SPEAKER_TURN, PAUSE),
            *(AUDIO, AUDIO_START, AUDIO_END, IMAGE, IMAGE_START, IMAGE_END),
            *map(role_token, ROLES),
            *map(sentiment_token, self.sentiments),
            *(prosody_token(name, k) for name in PROSODY_DIMENSIONS for k in bins),
            *map(language_token, self.languages),
        )

    def sentiment_class(self, label: str) -> int:
        """The class index of a sentiment label."""
        if label not in self.sentiments:
            raise NymphError(f"sentiment label: expected one of {self.sentiments}, got {label!r}")
        return self.sentiments.index(label)

    def check_sentiment_labels(self, labels: Iterable[str]) -> None:
        """Raise NymphError unless the sentiment model's labels all have a token."""
        for label in labels:
            if label not in self.sentiments:
                raise NymphError(
                    f"the sentiment model says {label!r}, which is not among the special tokens' sentiments "
                    f"{self.sentiments}{nearest(label, self.sentiments)}; list the model's labels there"
                )


def canonical_role(role: str) -> str:
    """`system`, `user` or `assistant` for a role or one of its aliases, in any case."""
    name = ROLE_ALIASES.get(role.lower(), role.lower())
    if name not in ROLES:
        known = (*ROLES, *ROLE_ALIASES)
        raise NymphError(f"unknown role {role!r}: expected one of {known}{nearest(role, known)}")
    return name


def role_token(role: str) -> str:
    """The token that opens a turn of this role or alias."""
    return f"<|{canonical_role(role)}|>"


def sentiment_token(label: str) -> str:
    """The token of a sentiment or emotion label."""
    return f"<|sentiment:{label}|>"


def prosody_token(dimension: str, bin_index: int) -> str:
    """The token of a bin, counted from 0, of `pitch`, `energy` or `rate`."""
    return f"<|{dimension}:{bin_index}|>"


def language_token(language: str) -> str:
    """The token of an ISO 639-1 code."""
    return f"<|language:{language}|>"


def unit_token(unit: int) -> str:
    """The token of an audio unit, counted from 0."""
    return f"<|unit:{unit}|>"


def _check_labels(field: str, labels: tuple[str, ...]) -> None:
    for label in labels:
        if not label or any(c in label for c in "<|>") or label != label.strip():
            raise NymphError(f"{field}: expected a name without '<', '|', '>' and outer spaces, got {label!r}")
    if len(set(labels)) != len(labels):
        raise NymphError(f"{field}: expected different names, got {labels}")


def _check_punctuation(marks: tuple[str, ...]) -> None:
    """Matching order must not matter, and no mark may spell the byte-level alphabet of another byte."""
    for mark in marks:
        if not mark or mark.isspace() or "<|" in mark or "|>" in mark:
            raise NymphError(f"punctuation: expected a visible mark without '<|' or '|>', got {mark!r}")
        if not mark.isascii() and len(mark) == 1 and ord(mark) < 0x180:
            raise NymphError(f"punctuation: {mark!r} cannot be atomic, it names a byte in byte-level BPE; leave it out")
        others = [other for other in marks if other is not mark and other.startswith(mark)]
        if others:
            raise NymphError(f"punctuation: {mark!r} is the beginning of {others[0]!r}; keep one of them")
