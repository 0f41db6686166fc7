"""From a JSON line to rows of the table of recordings.

Shapes: `{"text"}`, `{"audio", "text"?}`, `{"messages": [{"role", "content"}]}`, OpenAssistant trees
(`prompt`, `replies`). Keys beside these are allowed and ignored, except `id`-like ones we need.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

from nymph.audio.decode import AudioInfo, probe
from nymph.errors import NymphError
from nymph.files import sha256_file
from nymph.ingestion.jsonl import Line
from nymph.ingestion.raw import RawFile, RawFolder
from nymph.text.chat import ChatCounts, ChatOptions, threads

ID_DIGITS = 32
Row = dict[str, Any]


def content_id(data: bytes) -> str:
    """The id of content: the first 32 hex digits of its sha256."""
    return hashlib.sha256(data).hexdigest()[:ID_DIGITS]


def text_row(file: RawFile, unit: str, text: str) -> Row:
    """The row of a whole text file."""
    return {"id": unit, "unit": unit, "kind": "text", "source": file.source, "bytes": file.size, "text": text}


def audio_row(file: RawFile, transcript: str | None = None, language: str | None = None) -> Row:
    """The row of a recording.

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
        "text": transcript,
        "language": language,
        **_technical(info),
    }


def line_rows(line: Line, file: RawFile, unit: str, raw: RawFolder) -> Iterator[Row]:
    """The rows of one JSON line.

    Raises:
        NymphError: none of the known shapes, or one that is filled wrongly.
    """
    value = line.value
    common: Row = {
        "source": file.source,
        "line": line.number,
        "bytes": len(line.raw),
        "language": _optional(value, "lang"),
    }
    if "audio" in value:
        path = raw.path_of(_text(value, "audio"))
        recording = RawFile(raw.source_of(path), path, path.stat().st_size, path.stat().st_mtime_ns)
        yield audio_row(recording, _optional(value, "text"), _optional(value, "lang")) | {"line": line.number}
    elif "messages" in value or "prompt" in value:
        yield from ({"unit": unit, **chat, **common} for chat in _chats(line))
    elif "text" in value:
        yield {"id": content_id(line.raw), "unit": unit, "kind": "text", "text": _text(value, "text"), **common}
    else:
        keys = ", ".join(sorted(value)[:6])
        raise NymphError(f"expected one of the keys text, audio, messages, prompt; got {keys or 'none'}")


def _chats(line: Line) -> Iterator[Row]:
    """The conversations of a record: one for `messages`, one for each kept path of a tree."""
    counts = ChatCounts()
    for number, thread in enumerate(threads([line.value], ChatOptions(), counts)):
        id = content_id(line.raw + b"\n%d" % number) if number else content_id(line.raw)
        messages = [{"role": message.role, "content": message.content} for message in thread]
        yield {"id": id, "kind": "chat", "messages": messages}
    if counts.rejected:
        raise NymphError("conversation rejected: " + "; ".join(f"{reason}" for reason in counts.rejected))


def _technical(info: AudioInfo) -> Row:
    return {
        "container": info.container,
        "codec": info.codec,
        "sample_rate": info.sample_rate,
        "channels": info.channels,
        "duration_s": info.duration_s,
    }


def _text(value: dict[str, Any], key: str) -> str:
    text = value[key]
    if not isinstance(text, str) or not text.strip():
        raise NymphError(f"expected {key!r} to be a text that is not empty, got {text!r}"[:200])
    return text


def _optional(value: dict[str, Any], key: str) -> str | None:
    text = value.get(key)
    return text if isinstance(text, str) and text.strip() else None
