"""The raw folder: which files it holds, and the one place that turns a source name back into a path.

Names come from the folder's own listing or from JSONL lines, so a name that leaves the folder is refused.
"""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True)
class RawFolder:
    """The folder a user fills."""

    root: Path

    def files(self) -> Iterator[RawFile]:
        """Regular files in sorted order; hidden files and folders are passed over, links are not followed."""
        for folder, subfolders, names in os.walk(self.root):
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            for name in sorted(name for name in names if not name.startswith(".")):
                path = Path(folder) / name
                if path.is_symlink() or not path.is_file():
                    continue
                status = path.stat()
                yield RawFile(self.source_of(path), path, status.st_size, status.st_mtime_ns)

    def source_of(self, path: Path) -> str:
        """The name of a file in this folder."""
        return os.fsencode(path.relative_to(self.root).as_posix()).decode("utf-8", "backslashreplace")

    def path_of(self, source: str) -> Path:
        """The file behind a name, inside this folder.

        Raises:
            NymphError: the name leads outside, or to nothing.
        """
        path = (self.root / source).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise NymphError(f"{source!r}: expected a path inside {self.root}, got one that leaves it")
        if not path.is_file():
            raise NymphError(f"{source!r}: no such file under {self.root}")
        return path


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
