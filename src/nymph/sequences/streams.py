"""Streams of an utterance as segments: its words, its sound, both interleaved, and what describes them.

A stream an utterance does not have is an empty list; whether a document can do without it is the builder's question.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nymph.errors import NymphError
from nymph.sequences.alignment import token_seconds, token_words
from nymph.sequences.document import ABSENT, Segment
from nymph.sequences.features import SpanFeatures
from nymph.sequences.frames import Frames
from nymph.sequences.schema import SECONDS_PER_FRAME, Modality
from nymph.sequences.statistics import FeatureStatistics, frame_rates
from nymph.sequences.tasks import Feature, Stream
from nymph.text.prosody import prosody_ids
from nymph.text.tokenizer import Tokenizer
from nymph.text.vocabulary import (
    AUDIO,
    AUDIO_END,
    AUDIO_START,
    END_OF_TURN,
    IMAGE,
    IMAGE_END,
    IMAGE_START,
    SPEAKER_TURN,
    language_token,
    role_token,
    sentiment_token,
    unit_token,
)

Utterance = Mapping[str, Any]


class Units(Protocol):
    """Audio units, such as `nymph.sequences.units.Codebook`."""

    @property
    def size(self) -> int:
        """How many there are."""

    def __call__(self, table: pa.Table, /) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The units [k] of a table of frames, and the frames where they begin and end [k+1]."""


@dataclass(frozen=True)
class Tools:
    """What every utterance is read with."""

    tokenizer: Tokenizer
    statistics: FeatureStatistics
    frames: Frames = lambda reference: None
    units: Units | None = None
    untrusted_sentiment: bool = False
    """Whether sentiment counts where `sentiment.trusted` says that it is unsure or disagrees with the voice."""

    def __post_init__(self) -> None:
        have = self.tokenizer.extras.audio_units
        if self.units is not None and self.units.size > have:
            raise NymphError(
                f"the codebook has {self.units.size} audio units, the tokenizer {have}; "
                "take the tokenizer that was saved with it, or extend it by with_audio_units"
            )


class UtteranceStreams:
    """One utterance; its tokens and features are made once, whatever the number of tasks."""

    def __init__(self, utterance: Utterance, tools: Tools, ids: NDArray[np.uint32] | None = None) -> None:
        """`ids` are the tokens of the text, where they are known already."""
        self.utterance = utterance
        self.ids = tools.tokenizer.encode_array(utterance["text"]) if ids is None else ids
        self._tools = tools
        self._tokenizer = tools.tokenizer
        vector = utterance.get("speaker_vector")
        self._speaker = None if vector is None else np.array(vector, np.float16)
        sentiment = utterance.get("sentiment") or {}
        counts = tools.untrusted_sentiment or sentiment.get("trusted", True)
        self._label: str | None = sentiment.get("label") if counts else None
        labels = self._tokenizer.extras.special_tokens
        self._sentiment = ABSENT if self._label is None else labels.sentiment_class(self._label)

    def stream(self, name: Stream, weight: float, carries: tuple[Feature, ...]) -> list[Segment]:
        """The segments of a stream, empty where the utterance has none."""
        makers: dict[Stream, Callable[[], list[Segment]]] = {
            "text": lambda: self._text(carries),
            "audio": self._audio,
            "interleaved": self._interleaved,
            "turns": lambda: self._turn(carries),
            "prosody": lambda: self._controls(prosody_ids(self.utterance.get("prosody"), self._tokenizer)),
            "sentiment": self._sentiment_token,
            "speaker": self._speaker_token,
            "language": self._language_token,
            "image": self._image_slot,
        }
        segments = makers[name]()
        return segments if weight == 1.0 else [replace(one, weight=weight * one.weight) for one in segments]

    @cached_property
    def _token_bytes(self) -> NDArray[np.int32]:
        return self._tokenizer.byte_lengths[self.ids]

    @cached_property
    def _seconds(self) -> NDArray[np.float32] | None:
        """When each token was said [n,2]; None for what nobody said."""
        words = self.utterance.get("words")
        return token_seconds(self.utterance["text"], words, self._token_bytes) if words else None

    @cached_property
    def _table(self) -> pa.Table | None:
        reference = self.utterance.get("frames")
        table = None if reference is None else self._tools.frames(reference)
        return table if table is not None and table.num_rows else None

    @cached_property
    def _features(self) -> SpanFeatures | None:
        if self._table is None:
            return None
        first, rates = self.utterance["frames"]["start"], frame_rates(self.utterance)
        return SpanFeatures(self._table, first, rates, self._tools.statistics)

    @cached_property
    def _patches(self) -> tuple[Segment, NDArray[np.float32]] | None:
        """All sound as one audio segment and its seconds. Units are targets, placeholders are not."""
        if self._features is None or self._table is None:
            return None
        units, edges = (None, None) if self._tools.units is None else self._tools.units(self._table)
        audio, prosody, seconds = self._features.patches(edges)
        segment = Segment(
            tokens=self._audio_tokens(units, len(audio)),
            modality=Modality.AUDIO,
            weight=0.0 if units is None else 1.0,
            sentiment=self._sentiment,
            speaker=self._speaker,
            prosody=prosody,
            audio=audio,
            audio_at=np.arange(len(audio)),
            seconds=seconds,
        )
        return segment, seconds

    def _audio_tokens(self, units: NDArray[np.int64] | None, count: int) -> NDArray[np.int64]:
        """The tokens of units, or the placeholder where none were learned."""
        if units is None:
            return np.full(count, self._tokenizer.id(AUDIO))
        return self._tokenizer.id(unit_token(0)) + units

    def _controls(self, ids: list[int]) -> list[Segment]:
        return [Segment(np.array(ids), Modality.CONTROL, 1.0)] if ids else []

    def _control(self, token: str) -> list[Segment]:
        return self._controls([self._tokenizer.id(token)])

    def _text(self, carries: tuple[Feature, ...]) -> list[Segment]:
        if not len(self.ids):
            return []
        segment = Segment(self.ids, Modality.TEXT, 1.0, seconds=self._seconds)
        if "sentiment" in carries:
            segment = replace(segment, sentiment=self._sentiment)
        if "speaker" in carries:
            segment = replace(segment, speaker=self._speaker)
        if self._features is None or self._seconds is None or not {"audio", "prosody"} & set(carries):
            return [segment]
        audio, at, prosody = self._features.spans(self._seconds)
        if "audio" in carries:
            segment = replace(segment, audio=audio, audio_at=at)
        return [replace(segment, prosody=prosody) if "prosody" in carries else segment]

    def _audio(self) -> list[Segment]:
        if self._patches is None:
            return []
        return [*self._control(AUDIO_START), self._patches[0], *self._control(AUDIO_END)]

    def _interleaved(self) -> list[Segment]:
        """Each word's sound, up to the patch it ends in, then the word; a pause goes with the word that follows it."""
        if self._patches is None or self._seconds is None or not np.isfinite(self._seconds).any():
            return []
        owner, spans = token_words(self.utterance["text"], self.utterance["words"], self._token_bytes)
        audio, seconds = self._patches
        ends = np.maximum.accumulate(np.nan_to_num(spans[:, 1], nan=-np.inf))
        patch_cuts = np.searchsorted(seconds[:, 0], ends - SECONDS_PER_FRAME / 2)
        patch_cuts[-1] = len(seconds)
        token_cuts = np.searchsorted(owner, np.arange(len(spans)), side="right")
        segments, patch, token = self._speaker_token(), 0, 0
        text = self._text(("prosody", "sentiment", "speaker"))[0]
        for patch_end, token_end in zip(patch_cuts.tolist(), token_cuts.tolist(), strict=True):
            segments += [audio.part(patch, max(patch, patch_end)), text.part(token, token_end)]
            patch, token = max(patch, patch_end), token_end
        return [segment for segment in segments if len(segment)]

    def _turn(self, carries: tuple[Feature, ...]) -> list[Segment]:
        """A turn by the chat template, of which only what the assistant says, and its end, counts.

        Where people talk and nobody is the assistant, `<|speaker_turn|>` opens the turn and all of it counts.
        """
        role = self.utterance.get("role")
        opening = self._speaker_token() if role is None else self._control(role_token(role))
        if not opening or not len(self.ids):
            return []
        counts = 1.0 if role in (None, "assistant") else 0.0
        opening = [replace(segment, weight=1.0 if role is None else 0.0) for segment in opening]
        said = [*self._text(carries), *self._control(END_OF_TURN)]
        return [*opening, *(replace(segment, weight=counts) for segment in said)]

    def _sentiment_token(self) -> list[Segment]:
        return [] if self._label is None else self._control(sentiment_token(self._label))

    def _speaker_token(self) -> list[Segment]:
        """The speaker's vector under `<|speaker_turn|>`; who speaks next is announced by the token alone."""
        if self._speaker is None and self.utterance.get("speaker") is None:
            return []
        return [replace(segment, speaker=self._speaker) for segment in self._control(SPEAKER_TURN)]

    def _language_token(self) -> list[Segment]:
        token = language_token(self.utterance.get("language") or "")
        return self._control(token) if self._tokenizer.has(token) else []

    def _image_slot(self) -> list[Segment]:
        """The place of an image, for utterances that name one; its pixels are not in the row yet."""
        if not self.utterance.get("image"):
            return []
        slot = Segment(np.array([self._tokenizer.id(IMAGE)]), Modality.IMAGE)
        return [*self._control(IMAGE_START), slot, *self._control(IMAGE_END)]
