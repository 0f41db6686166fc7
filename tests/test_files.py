"""Atomic writes: the old content or the new, never a part."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nymph.files import atomic_directory, atomic_file, fingerprint, remove_leftovers, write_json


def test_a_file_appears_whole(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "deep" / "a.txt", "w") as file:
        file.write("text\n")
        assert not (tmp_path / "deep" / "a.txt").exists()
    assert (tmp_path / "deep" / "a.txt").read_text() == "text\n"


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(TypeError), atomic_file(target, "w") as file:
        file.write(b"no text")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert target.read_text() == "old"


def test_a_kill_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    script = (
        "import os, signal\nfrom nymph.files import atomic_file\n"
        f"with atomic_file({str(target)!r}, 'w') as file:\n"
        "    file.write('new'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    assert target.read_text() == "old"
    assert remove_leftovers(tmp_path) == 1


def test_a_directory_replaces_the_old_one(tmp_path: Path) -> None:
    for content in ("first", "second"):
        with atomic_directory(tmp_path / "folder") as part:
            (part / content).write_text(content)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["second"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_the_file_is_synced_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, str]] = []
    fsync, replace, me = os.fsync, os.replace, threading.get_ident()
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append((threading.get_ident(), "fsync")), fsync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append((threading.get_ident(), "rename")), replace(a, b))[1])
    write_json(tmp_path / "a.json", {"b": 1})
    assert [call for thread, call in calls if thread == me] == ["fsync", "rename", "fsync"]


def test_a_fingerprint_ignores_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1}) != fingerprint({"a": 1, "b": 3})
