"""A disk of a few megabytes, which fills: a tmpfs, where this machine allows mounts."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(place: Path, megabytes: int) -> Iterator[Path]:
    """A tmpfs of this size at `place`."""
    place.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", os.fspath(place)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"mounting a small disk needs root, and a machine that allows it: {error}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", os.fspath(place)], check=True)
