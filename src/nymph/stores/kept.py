"""A whole artifact that is remade only when what it depends on changes.

Beside `utterances.jsonl` lies `utterances.jsonl.kept.json` with the key it was made for and the size and sha256 of
what was written (of the manifest of names and sizes for a folder). The record is written last and removed first, so
a kill in between only costs a remake; an artifact that someone edited is noticed and remade.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nymph.console import carry_out
from nymph.errors import NymphError
from nymph.files import fingerprint, read_json, sha256_file, write_json
from nymph.stages import Item, Made, Work


def save_kept(path: Path, work: Work, write: Callable[[Path, Any], None]) -> None:
    """Carry out work on one whole artifact: `write(path, value)` must put it in place atomically.

    Raises:
        NymphError: the artifact could not be made; a whole artifact cannot be quarantined.
    """
    record = record_path(path)
    for outcome in carry_out(work, lambda item: is_current(path, item)):
        if not isinstance(outcome, Made):
            raise NymphError(f"{path.name}: {outcome.message}")
        record.unlink(missing_ok=True)
        write(path, outcome.value)
        write_json(record, {"key": outcome.item.key, "content": content_digest(path)})


def is_current(path: Path, item: Item) -> bool:
    """Whether the artifact in place is the one made for this key, untouched since."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        record = read_json(record_path(path))
        return bool(record["key"] == item.key and record["content"] == content_digest(path))
    return False


def kept_fingerprint(path: Path) -> str:
    """Stands for the artifact's content, without reading it when it is a recorded one.

    Raises:
        NymphError: the artifact is not there.
    """
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return fingerprint(read_json(record_path(path))["content"])
    if not path.exists():
        raise NymphError(f"{path}: not there yet; run the stage that makes it first")
    return fingerprint(content_digest(path))


def record_path(path: Path) -> Path:
    """Where the record of an artifact lies."""
    return path.with_name(f"{path.name}.kept.json")


def content_digest(path: Path) -> str:
    """A digest of a file's bytes, or of the names and bytes of a folder's files; hidden ones are caches."""
    if path.is_dir():
        names = sorted(file.relative_to(path) for file in path.rglob("*") if file.is_file())
        seen = [name for name in names if not any(part.startswith(".") for part in name.parts)]
        return fingerprint([[str(name), sha256_file(path / name)] for name in seen])
    return sha256_file(path)
