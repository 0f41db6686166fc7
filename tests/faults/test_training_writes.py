"""R2, R3, R5, R9: a disk that refuses at any point, the order of writes, links, second signals."""

import contextlib
import errno
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nymph.files import PART, remove_leftovers
from nymph.training.checkpoint import Snapshot, list_checkpoints, newest_good, prune, write_checkpoint
from nymph.training.signals import Requests

pytestmark = pytest.mark.faults
CALLS = ("fsync", "rename", "replace", "open", "mkdir", "chmod")


def snapshot(step: int) -> Snapshot:
    tensors = {"weight": torch.full((64,), float(step))}
    return Snapshot(step, tensors, tensors, {"step": step}, {})


class Disk:
    """Counts the calls of `os` that change a disk, and refuses one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, refuse: int = -1) -> None:
        self.refuse, self.calls = refuse, list[str]()
        for name in CALLS:
            monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.calls.append(name)
            if len(self.calls) - 1 == self.refuse:
                raise OSError(errno.EIO, "Input/output error")
            return real(*arguments, **options)

        return call


def test_the_checkpoint_before_survives_a_refusal_at_every_point(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch)
        write_checkpoint(tmp_path / "counted", snapshot(2))
        count = len(disk.calls)
    assert count > 10
    for refused in range(count):
        folder = tmp_path / str(refused)
        write_checkpoint(folder, snapshot(1))
        with pytest.MonkeyPatch.context() as patch:
            Disk(patch, refused)
            with contextlib.suppress(OSError):
                write_checkpoint(folder, snapshot(2))
        found, damaged = newest_good(folder)
        assert found is not None
        assert damaged == []
        remove_leftovers(folder)
        assert not list(folder.rglob(f"{PART}*"))


def test_every_byte_is_on_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    write_checkpoint(tmp_path, snapshot(1))
    named = disk.calls.index("rename")  # of the directory; files in it are replaced
    assert disk.calls[:named].count("fsync") >= 5
    assert "fsync" in disk.calls[named:]


def test_a_link_is_no_checkpoint_and_nothing_behind_it_is_touched(tmp_path: Path) -> None:
    elsewhere = write_checkpoint(tmp_path / "elsewhere", snapshot(9))
    run = tmp_path / "run"
    for step in (1, 2):
        write_checkpoint(run, snapshot(step))
    (run / "step-00000009").symlink_to(elsewhere)
    assert [path.name for path in list_checkpoints(run)] == ["step-00000001", "step-00000002"]
    prune(run, keep_last=1)
    assert (elsewhere / "manifest.json").exists()


def test_a_second_signal_exits_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []
    monkeypatch.setattr(os, "_exit", left.append)
    with Requests() as requests:
        signal.raise_signal(signal.SIGTERM)
        assert (requests.end, left) == (signal.SIGTERM, [])
        signal.raise_signal(signal.SIGINT)
    assert left == [130]


def test_what_a_launcher_passes_on_is_no_second_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []
    monkeypatch.setattr(os, "_exit", left.append)
    with Requests(echo=10.0) as requests:
        for now, number in ((100.0, signal.SIGINT), (109.0, signal.SIGTERM), (110.0, signal.SIGTERM)):
            monkeypatch.setattr(time, "monotonic", lambda now=now: now)
            signal.raise_signal(number)
    assert (requests.end, left) == (signal.SIGINT, [143])


def test_a_rank_left_alone_waits_until_it_is_ended() -> None:
    with Requests() as requests:
        threading.Timer(0.1, signal.raise_signal, [signal.SIGTERM]).start()
        requests.wait_for_end(seconds=200)
        assert requests.end == signal.SIGTERM
