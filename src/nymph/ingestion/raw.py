"""The raw folder: which files it holds, and the one place that turns a source name back into a path.

Names come from the folder's own listing or from JSONL lines, so a name that leaves the folder is refused.
"""

import importlib.util
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nymph.errors import NymphError
from nymph.files import atomic_file

SAMPLE = Path("audio") / "sample.wav"
_OFFERED = ".sample-offered"


@dataclass(frozen=True)
class RawFile:
    """A file as found: nothing of it was read yet."""

    source: str
    """Path relative to the raw folder, with forward slashes; undecodable bytes are escaped."""
    path: Path
    size: int
    """Bytes."""
    modified_ns: int
    regular: bool = True
    """False for links, pipes and folders that cannot be listed: named so that nothing is passed over silently."""


@dataclass(frozen=True)
class RawFolder:
    """The folder a user fills."""

    root: Path

    def files(self) -> Iterator[RawFile]:
        """Everything below the root in sorted order but hidden files and folders. Links are not followed."""
        unlisted: list[OSError] = []
        for folder, subfolders, names in os.walk(self.root, onerror=unlisted.append):
            linked = [name for name in subfolders if os.path.islink(os.path.join(folder, name))]
            subfolders[:] = sorted(name for name in subfolders if not name.startswith(".") and name not in linked)
            for name in sorted(name for name in names + linked if not name.startswith(".")):
                yield self.file(Path(folder) / name)
        for error in unlisted:
            yield RawFile(self.source_of(Path(os.fsdecode(error.filename))), Path(error.filename), 0, 0, regular=False)

    def file(self, path: Path) -> RawFile:
        """A file of this folder; one that is gone by now is still named."""
        try:
            status = path.lstat()
        except OSError:
            return RawFile(self.source_of(path), path, 0, 0)
        return RawFile(
            self.source_of(path), path, status.st_size, status.st_mtime_ns, regular=stat.S_ISREG(status.st_mode)
        )

    def source_of(self, path: Path) -> str:
        """The name of a file in this folder."""
        root = self.root if path.is_relative_to(self.root) else self.root.resolve()
        return _escaped(path.relative_to(root).as_posix())

    def path_of(self, source: str) -> Path:
        """The file behind a name, inside this folder.

        Raises:
            NymphError: the name leads outside, or to nothing.
        """
        if "\0" in source:
            raise NymphError(f"expected the name of a file, got {source[:80]!r}")
        path = (self.root / source).resolve()
        if "\\x" in source and not path.exists():
            path = _undecodable(self.root, source)
        if not path.is_relative_to(self.root.resolve()):
            raise NymphError(f"{source!r}: expected a path inside {self.root}, got one that leaves it")
        if not path.is_file():
            raise NymphError(f"{source!r}: no such file under {self.root}")
        return path


def _undecodable(root: Path, source: str) -> Path:
    """The path whose name had bytes that are no UTF-8, which `source_of` escaped."""
    path = root.resolve()
    for part in PurePosixPath(source).parts:
        names = os.listdir(path) if path.is_dir() else []
        path /= next((name for name in names if _escaped(name) == part), part)
    return path.resolve()


def _escaped(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def offer_sample(root: Path) -> None:
    """Copy pyannote.audio's 30-second conversation into a raw folder, once: who deletes it does not get it back."""
    marker = root / _OFFERED
    if marker.exists():
        return
    package = importlib.util.find_spec("pyannote.audio")
    sample = Path(str(package.origin)).parent / "sample" / "sample.wav" if package else None
    if sample is None or not sample.is_file():
        raise NymphError("the sample conversation was not found: is pyannote.audio installed? Run `make setup`")
    with open(sample, "rb") as source, atomic_file(root / SAMPLE) as target:
        shutil.copyfileobj(source, target)
    with atomic_file(marker, "w") as file:
        file.write("The sample conversation was copied here once. Delete this file to get it again.\n")
