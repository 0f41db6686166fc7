"""`utterances.jsonl`: everything known of each utterance, one JSON object a line, validated as it is read.

JSON lines cost more than Parquet to read, and are what people open, grep, edit and bring. Units and the meaning of
absence are in docs/data.md. Fields of one's own are kept, and what is not said is absent.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from nymph.errors import NymphError
from nymph.files import atomic_file
from nymph.stores.kept import kept_fingerprint

SCHEMA_VERSION = 2
"""2 added words' prosody, z-scores, arousal, agreement and trust; speakers became people across recordings."""

_OPEN = ConfigDict(extra="allow", allow_inf_nan=False)
Share = Annotated[float, Field(ge=0, le=1)]
Index = Annotated[int, Field(ge=0)]
Values = dict[str, float | None]


class Word(TypedDict):
    """A word as written, and when it was said."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]
    word: str
    start: float | None
    end: float | None
    confidence: NotRequired[float | None]
    timing: NotRequired[Literal["aligned", "interpolated", "none"]]
    prosody: NotRequired[Annotated[list[float | None], Field(min_length=7, max_length=7)] | None]


class Sentiment(TypedDict):
    """What a classifier says of the text, and whether to believe it."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]
    label: str
    score: Share
    scores: NotRequired[dict[str, Share]]
    agreement: NotRequired[Share | None]
    trusted: NotRequired[bool]


class FrameSpan(TypedDict):
    """Rows of a frame file."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]
    file: Annotated[str, Field(pattern=r"^[^/\\]+$")]
    start: Index
    stop: Index


class _Utterance(TypedDict):
    __pydantic_config__ = _OPEN  # type: ignore[misc]
    schema: Literal[2]
    id: str
    recording: str
    index: Index
    kind: Literal["speech", "text", "chat"]
    source: str
    text: str
    role: NotRequired[Literal["system", "user", "assistant"] | None]
    language: NotRequired[str | None]
    start: NotRequired[float | None]
    end: NotRequired[float | None]
    words: NotRequired[list[Word] | None]
    confidence: NotRequired[float | None]
    speaker: NotRequired[str | None]
    speaker_vector: NotRequired[Annotated[list[float], Field(min_length=256, max_length=256)] | None]
    prosody: NotRequired[Values | None]
    prosody_z: NotRequired[Values | None]
    arousal: NotRequired[Share | None]
    sentiment: NotRequired[Sentiment | None]
    frames: NotRequired[FrameSpan | None]


_CHECKED: TypeAdapter[_Utterance] = TypeAdapter(_Utterance)


@dataclass(frozen=True)
class Utterances:
    """A file of utterances, read as a stream."""

    filepath: Path

    @property
    def fingerprint(self) -> str:
        """Stands for the file's content."""
        return kept_fingerprint(self.filepath)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Each utterance, validated.

        Raises:
            NymphError: a line is no utterance, or comes again; those of a recording stand together, in their order.
        """
        order = _Order()
        with open(self.filepath, "rb") as file:
            for number, line in enumerate(file, 1):
                where = f"{self.filepath.name}:{number}"
                found = parse_utterance(line, where)
                if not order.follows(found["recording"], found["index"]):
                    raise NymphError(
                        f"{where}: expected the utterances of a recording together and by rising index, got "
                        f"{found['id']!r} after another; were files put together that share recordings?"
                    )
                yield found


@dataclass
class _Order:
    """Finds an utterance that comes twice, holding the names of recordings alone."""

    over: set[str] = field(default_factory=set)
    recording: str | None = None
    index: int = -1

    def follows(self, recording: str, index: int) -> bool:
        """Whether this utterance may come after those before it."""
        if recording != self.recording:
            self.over.add(self.recording or "")
            self.recording, self.index = recording, -1
        before, self.index = self.index, index
        return recording not in self.over and index > before


def parse_utterance(line: bytes, where: str) -> dict[str, Any]:
    """One validated utterance.

    Raises:
        NymphError: the line is no JSON object of this schema; says where and which field.
    """
    try:
        return dict(_CHECKED.validate_json(line))
    except ValidationError as error:
        raise NymphError(f"{where}: {_explained(error)}") from error


def write_utterances(filepath: Path, utterances: Iterable[dict[str, Any]]) -> None:
    """Stream utterances into a file that appears whole. NaN has no place in JSON and is an error here."""
    with atomic_file(filepath, "w") as file:
        for utterance in utterances:
            file.write(json.dumps(utterance, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n")


def _explained(error: ValidationError) -> str:
    """The first fault; one of the version before all others, because the others follow from it."""
    faults = error.errors(include_url=False)
    fault = next((fault for fault in faults if fault["loc"] == ("schema",)), faults[0])
    field, got = ".".join(map(str, fault["loc"])), repr(fault["input"])[:60]
    if field == "schema":
        return (
            f"expected an utterance of schema {SCHEMA_VERSION}, got {'none' if fault['type'] == 'missing' else got}; "
            "run `kedro run --pipelines sentiment` to write the file anew"
        )
    if not field:
        return f"expected a JSON object, got {got} ({fault['msg']})"
    return f"{field}: {fault['msg']}" + ("" if fault["type"] == "missing" else f", got {got}")
