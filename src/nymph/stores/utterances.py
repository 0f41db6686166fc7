"""`utterances.jsonl`: everything known of each utterance, one JSON object a line, validated as it is read.

JSON lines cost more than Parquet to read, and are what people open, grep, edit and bring. Fields, units and the
meaning of absence are in docs/architecture.md.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nymph.errors import NymphError
from nymph.files import atomic_file
from nymph.stores.kept import kept_fingerprint

SCHEMA_VERSION = 1
KINDS = ("speech", "text", "chat")
FIELDS = {
    "schema": int,
    "id": str,
    "recording": str,
    "index": int,
    "kind": str,
    "source": str,
    "text": str,
}
"""The fields every utterance has, with their types; the rest may be null."""


@dataclass(frozen=True)
class Utterances:
    """A file of utterances, read as a stream."""

    filepath: Path

    @property
    def fingerprint(self) -> str:
        """Stands for the file's content."""
        return kept_fingerprint(self.filepath)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with open(self.filepath, "rb") as file:
            for number, line in enumerate(file, 1):
                yield parse_utterance(line, f"{self.filepath.name}:{number}")


def parse_utterance(line: bytes, where: str) -> dict[str, Any]:
    """One validated utterance.

    Raises:
        NymphError: the line is no JSON object of this schema; says where and which field.
    """
    try:
        utterance = json.loads(line)
    except ValueError as error:
        raise NymphError(f"{where}: expected a JSON object, got {line[:40]!r} ({error})") from error
    if not isinstance(utterance, dict) or utterance.get("schema") != SCHEMA_VERSION:
        raise NymphError(f"{where}: expected an utterance of schema {SCHEMA_VERSION}; run the sentiment stage again")
    for name, kind in FIELDS.items():
        if not isinstance(utterance.get(name), kind):
            raise NymphError(f"{where}: expected {name!r} to be {kind.__name__}, got {utterance.get(name)!r}")
    if utterance["kind"] not in KINDS:
        raise NymphError(f"{where}: expected kind to be one of {', '.join(KINDS)}, got {utterance['kind']!r}")
    return utterance


def write_utterances(filepath: Path, utterances: Iterable[dict[str, Any]]) -> None:
    """Stream utterances into a file that appears whole. NaN has no place in JSON and is an error here."""
    with atomic_file(filepath, "w") as file:
        for utterance in utterances:
            file.write(json.dumps(utterance, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n")
