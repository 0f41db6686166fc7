"""Checkpoints: directories of safetensors and JSON that are whole, verified and never unpickled.

`step-00000100/` holds `model.safetensors`, `optimizer.safetensors`, `state.json`, `config.json` and `manifest.json`
with the size and sha256 of each. A directory has its name only when every byte is on disk. The newest is found by
its step, not by a pointer or a clock. Verifying on load costs one read of the files; it is what finds a flipped bit.
"""

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from nymph.errors import NymphError
from nymph.files import PART, atomic_directory, read_json, sha256_file
from nymph.tensors import load_tensors, save_tensors

MANIFEST = "manifest.json"
SCHEMA = 1
_NAME = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True)
class Snapshot:
    """What a checkpoint holds: tensors on the CPU and JSON values."""

    step: int
    model: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    state: Mapping[str, Any]
    config: Mapping[str, Any]

    @property
    def bytes(self) -> int:
        """Size of the tensors in bytes."""
        return sum(tensor.nbytes for tensors in (self.model, self.optimizer) for tensor in tensors.values())


def checkpoint_path(directory: Path, step: int) -> Path:
    """Where the checkpoint of `step` lives."""
    return directory / f"step-{step:08d}"


def write_checkpoint(directory: Path, snapshot: Snapshot, after_piece: Callable[[int], None] | None = None) -> Path:
    """Write `snapshot` as a new checkpoint directory, atomically; an older one of the same step is replaced.

    `after_piece` is called while the tensors are written, as `save_tensors` does.

    Raises:
        NymphError: The disk has not the room; what was written is removed and older checkpoints stay.
        OSError: The disk failed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _require_room(directory, snapshot.bytes)
    target = checkpoint_path(directory, snapshot.step)
    with atomic_directory(target) as part:
        files = {
            "model.safetensors": save_tensors(part / "model.safetensors", snapshot.model, after_piece=after_piece),
            "optimizer.safetensors": save_tensors(
                part / "optimizer.safetensors", snapshot.optimizer, after_piece=after_piece
            ),
            "state.json": _write_plain(part / "state.json", snapshot.state),
            "config.json": _write_plain(part / "config.json", snapshot.config),
        }
        entries = {name: {"sha256": digest, "bytes": (part / name).stat().st_size} for name, digest in files.items()}
        _write_plain(part / MANIFEST, {"schema": SCHEMA, "step": snapshot.step, "files": entries})
    return target


def read_checkpoint(path: Path) -> Snapshot:
    """Load a checkpoint after verifying every file of it.

    Raises:
        NymphError: A file is missing, has another size or another sha256, or is not what it should be.
    """
    verify_checkpoint(path)
    return Snapshot(
        step=step_of(path),
        model=load_tensors(path / "model.safetensors"),
        optimizer=load_tensors(path / "optimizer.safetensors"),
        state=_read_plain(path / "state.json"),
        config=read_config(path),
    )


def verify_checkpoint(path: Path) -> None:
    """Compare every file of a checkpoint with its manifest; NymphError names the first that differs."""
    for name, entry in _manifest(path)["files"].items():
        file = path / name
        if not file.is_file() or file.stat().st_size != entry["bytes"]:
            raise NymphError(f"checkpoint {path} is damaged: {name} is missing or has not {entry['bytes']} bytes")
        if sha256_file(file) != entry["sha256"]:
            raise NymphError(f"checkpoint {path} is damaged: the sha256 of {name} is not the manifest's")


def list_checkpoints(directory: Path) -> list[Path]:
    """The checkpoints of a run, oldest step first; temporary and foreign names and links are left out."""
    if not directory.is_dir():
        return []
    found = [
        path for path in directory.iterdir() if _NAME.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
    ]
    return sorted(found, key=step_of)


def read_state(path: Path) -> dict[str, Any]:
    """The JSON state of a checkpoint, checked against the manifest, without loading the tensors."""
    entry = _manifest(path)["files"]["state.json"]
    if sha256_file(path / "state.json") != entry["sha256"]:
        raise NymphError(f"checkpoint {path} is damaged: the sha256 of state.json is not the manifest's")
    return _read_plain(path / "state.json")


def read_config(path: Path) -> dict[str, Any]:
    """The model's configuration in a checkpoint."""
    return _read_plain(path / "config.json")


def newest_good(directory: Path) -> tuple[Path | None, list[str]]:
    """The newest checkpoint that verifies, and why each newer one was passed over."""
    reasons: list[str] = []
    for path in reversed(list_checkpoints(directory)):
        try:
            verify_checkpoint(path)
        except NymphError as error:
            reasons.append(str(error))
            continue
        return path, reasons
    return None, reasons


def best_of(directory: Path) -> Path | None:
    """The checkpoint with the lowest validation loss, the older of equals; None where none was evaluated."""
    losses = {path: loss for path in list_checkpoints(directory) if (loss := _loss_of(path)) is not None}
    return min(losses, key=lambda path: losses[path]) if losses else None


def prune(directory: Path, keep_last: int) -> list[Path]:
    """Delete all but the newest `keep_last` checkpoints and the best; return what was deleted."""
    keep = {*list_checkpoints(directory)[-keep_last:], best_of(directory)}
    doomed = [path for path in list_checkpoints(directory) if path not in keep]
    for path in doomed:
        aside = path.with_name(f"{PART}{path.name}")  # a kill must not leave half a checkpoint under its name
        path.rename(aside)
        shutil.rmtree(aside)
    return doomed


def set_aside(directory: Path, after: int) -> Path | None:
    """Move checkpoints beyond step `after` to `superseded-N`, so that a run begun earlier is not overtaken by them."""
    newer = [path for path in list_checkpoints(directory) if step_of(path) > after]
    if not newer:
        return None
    number = 1 + sum(1 for _ in directory.glob("superseded-*"))
    aside = directory / f"superseded-{number}"
    aside.mkdir()
    for path in newer:
        path.rename(aside / path.name)
    return aside


def step_of(path: Path) -> int:
    """The step a checkpoint was made at."""
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else int(_manifest(path)["step"])


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = read_json(path / MANIFEST)
        complete = {"model.safetensors", "optimizer.safetensors", "state.json", "config.json"} <= set(manifest["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NymphError(f"{path} is not a checkpoint: cannot read its {MANIFEST} ({type(error).__name__})") from None
    if manifest.get("schema") != SCHEMA or not complete:
        raise NymphError(f"checkpoint {path} has schema {manifest.get('schema')!r}; this version reads {SCHEMA}")
    return dict(manifest)


def _loss_of(path: Path) -> float | None:
    try:
        loss = read_json(path / "state.json").get("validation_loss")
    except (OSError, ValueError, AttributeError):
        return None
    return loss if isinstance(loss, float) else None


def _require_room(directory: Path, need: int) -> None:
    free = shutil.disk_usage(directory).free
    if free < need * 1.01 + (1 << 20):
        raise NymphError(
            f"no room for a checkpoint in {directory}: needs {need:,} bytes, {free:,} are free; "
            "free some, lower keep_last or move checkpoint_directory"
        )


def _read_plain(path: Path) -> dict[str, Any]:
    try:
        return dict(read_json(path))
    except (OSError, ValueError, TypeError) as error:
        raise NymphError(f"checkpoint {path.parent} is damaged: {path.name} is not JSON: {error}") from None


def _write_plain(path: Path, value: Mapping[str, Any]) -> str:
    path.write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
    return sha256_file(path)
