"""From files and JSON lines to rows of the table of recordings.

Shapes of a line: `{"text"}`, `{"audio", "text"?, "speaker"?}`, `{"messages": [{"role", "content"}]}`, OpenAssistant
trees (`prompt` or `replies`) and flat messages. Keys beside these are allowed and ignored.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from nymph.audio.decode import AudioInfo, probe
from nymph.errors import NymphError
from nymph.files import sha256_file
from nymph.ingestion.failures import IngestionError
from nymph.ingestion.given import Clean, Given, GivenSegment, given_columns
from nymph.ingestion.jsonl import Line
from nymph.ingestion.options import IngestionOptions
from nymph.ingestion.raw import RawFile, RawFolder
from nymph.text.chat import ChatCounts, Thread, threads
from nymph.text.normalisation import normalise

ID_DIGITS = 32
Row = dict[str, Any]


def content_id(data: bytes) -> str:
    """The id of content: the first 32 hex digits of its sha256."""
    return hashlib.sha256(data).hexdigest()[:ID_DIGITS]


def cleaner(options: IngestionOptions) -> Clean:
    """What makes a text regular."""
    return partial(normalise, options=options.normalisation)


def text_row(file: RawFile, unit: str, text: str, clean: Clean) -> Row:
    """The row of a whole text file."""
    return {"id": unit, "unit": unit, "kind": "text", "source": file.source, "bytes": file.size, **_said(text, clean)}


def audio_row(file: RawFile, language: str | None = None) -> Row:
    """The row of a recording without a transcript.

    Raises:
        AudioError: it cannot be decoded.
    """
    info = probe(file.path)
    id = sha256_file(file.path)[:ID_DIGITS]
    return {
        "id": id,
        "unit": id,
        "kind": "speech",
        "source": file.source,
        "bytes": file.size,
        "language": language,
        **_technical(info),
    }


def line_rows(line: Line, file: RawFile, raw: RawFolder, options: IngestionOptions) -> Iterator[Row]:
    """The rows of one JSON line that stands for itself.

    Raises:
        NymphError: none of the known shapes, or one that is filled wrongly.
    """
    value, clean = line.value, cleaner(options)
    common = {"source": file.source, "line": line.number, "bytes": len(line.raw)}
    language = _optional(value, "lang") or _optional(value.get("prompt"), "lang")
    if "audio" in value:
        path = _path_of(_text(value, "audio"), file, raw)
        yield _named_recording(value, raw.file(path), clean) | {"line": line.number}
    elif _is_chat(value):
        for number, row in enumerate(chat_rows(value, options, language)):
            yield {**common, **row, "id": content_id(line.raw + b"\n%d" % number) if number else content_id(line.raw)}
    elif "text" in value:
        yield {**common, "id": content_id(line.raw), "kind": "text", "language": language} | _said(
            _text(value, "text"), clean
        )
    else:
        keys = ", ".join(sorted(value)[:6])
        raise IngestionError("bad_record", f"expected one of the keys text, audio, messages, prompt; got {keys!r}")


def chat_rows(record: Row, options: IngestionOptions, language: str | None = None) -> Iterator[Row]:
    """The conversations of a record, without place and id: one for `messages`, one for each kept path of a tree.

    Raises:
        IngestionError: a conversation with a fault; none that the options keep.
    """
    counts, clean = ChatCounts(), cleaner(options)
    found = list(threads([record], options.chat, counts))
    if counts.rejected:
        raise IngestionError("bad_conversation", "; ".join(counts.rejected))
    if not found:
        languages = ", ".join(options.chat.languages)
        raise IngestionError("left_out", f"expected a conversation in one of the languages {languages}")
    yield from ({"kind": "chat", "language": language, **_messages(thread, clean)} for thread in found)


def tree_row(tree: Row, line: int, file: RawFile, options: IngestionOptions) -> Iterator[Row]:
    """The rows of a tree of flat messages; the id is that of its words, for they come from many lines."""
    for row in chat_rows(tree, options, _optional(tree, "lang")):
        data = json.dumps(row["messages"], ensure_ascii=False).encode("utf-8", "surrogatepass")
        yield {**row, "id": content_id(data), "source": file.source, "line": line, "bytes": len(data)}


def _is_chat(value: Row) -> bool:
    return "messages" in value or "prompt" in value or ("replies" in value and "role" in value)


def _path_of(name: str, file: RawFile, raw: RawFolder) -> Path:
    """A recording named by a line: under the raw folder, or else beside the file that names it."""
    try:
        return raw.path_of(name)
    except NymphError:
        beside = str(PurePosixPath(file.source).parent / name)
        if (raw.root / beside).is_file():
            return raw.path_of(beside)
        raise


def _named_recording(value: Row, recording: RawFile, clean: Clean) -> Row:
    row = audio_row(recording, _optional(value, "lang"))
    text, speaker = _optional(value, "text"), _optional(value, "speaker")
    given: Given = (GivenSegment(text, speaker=speaker),) if text else ()
    return row | given_columns(given, clean)


def _messages(thread: Thread, clean: Clean) -> Row:
    messages: Sequence[Row] = [{"role": turn.role, "content": clean(turn.content)} for turn in thread]
    words = sum(len(message["content"].split()) for message in messages)
    return {"messages": messages, "words": words, "turns": len(messages)}


def _said(text: str, clean: Clean) -> Row:
    cleaned = clean(text)
    if not cleaned.strip():
        raise IngestionError("not_text", "expected a text that is not empty, got nothing but space")
    return {"text": cleaned, "words": len(cleaned.split())}


def _technical(info: AudioInfo) -> Row:
    return {
        "container": info.container,
        "codec": info.codec,
        "sample_rate": info.sample_rate,
        "channels": info.channels,
        "duration_s": info.duration_s,
    }


def _text(value: Row, key: str) -> str:
    text = value[key]
    if not isinstance(text, str) or not text.strip():
        raise IngestionError("bad_record", f"expected {key!r} to be a text that is not empty, got {text!r}"[:200])
    return text


def _optional(value: Any, key: str) -> str | None:
    text = value.get(key) if isinstance(value, dict) else None
    return text if isinstance(text, str) and text.strip() else None
