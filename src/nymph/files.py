"""Atomic files: what has its final name is whole and on disk, whatever is killed and whenever.

A temporary file in the same folder, fsync, rename, fsync of the folder. The cost is one fsync a file, so callers
write few large files rather than many small ones. Standard library only.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

PART = ".part-"
"""Prefix of every temporary name; readers never list it, and `remove_leftovers` may delete it."""

_UMASK = os.umask(0)
os.umask(_UMASK)


@contextmanager
def atomic_file(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file that becomes `path` when the block ends without an exception.

    Text modes are UTF-8 with "\\n" line ends. On an exception nothing is left behind and an old `path` stays.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(prefix=f"{PART}{target.name}-", dir=target.parent)
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    try:
        with os.fdopen(descriptor, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(part, 0o666 & ~_UMASK)
        os.replace(part, target)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
    fsync_directory(target.parent)


@contextmanager
def atomic_directory(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary folder that becomes `path` when the block ends without an exception.

    Every file in it is fsynced first. An existing `path` is replaced: it is moved aside, then deleted.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f"{PART}{target.name}-", dir=target.parent))
    try:
        yield part
        for folder, _, names in os.walk(part):
            for name in names:
                _fsync(Path(folder) / name)
            _fsync(Path(folder))
        os.chmod(part, 0o777 & ~_UMASK)
        _replace_directory(part, target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    fsync_directory(target.parent)


def remove_leftovers(folder: str | os.PathLike[str], name: str = "") -> int:
    """Delete what killed writers left in `folder`, of the file `name` if given; call only as its sole writer."""
    leftovers = [path for path in Path(folder).glob(f"{PART}*") if path.name.startswith(f"{PART}{name}")]
    for leftover in leftovers:
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
    return len(leftovers)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` atomically as indented JSON with sorted keys."""
    with atomic_file(path, "w") as file:
        json.dump(value, file, indent=2, sort_keys=True, ensure_ascii=False)
        file.write("\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """The JSON value in a UTF-8 file."""
    return json.loads(Path(path).read_bytes())


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Hex sha256 of a file's bytes, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(*values: Any) -> str:
    """32 hex digits that stand for JSON-serialisable values, whatever the order of their dict keys."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def fsync_directory(folder: str | os.PathLike[str]) -> None:
    """Make renames in `folder` survive a power cut."""
    _fsync(Path(folder))


def _replace_directory(part: Path, target: Path) -> None:
    if not target.exists():
        os.rename(part, target)
        return
    aside = Path(tempfile.mkdtemp(prefix=PART, dir=target.parent)) / "old"
    os.rename(target, aside)
    os.rename(part, target)
    shutil.rmtree(aside.parent)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
