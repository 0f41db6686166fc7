"""Where a run begins: from nothing, or from which checkpoint, and why.

`latest` continues a run of the same model; a damaged checkpoint gives way to the one before. Rows or a model that
changed since make it a new run: what was there is set aside, never deleted. `best` and a path ask for one checkpoint
by name, and what does not fit is then an error.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nymph.errors import NymphError
from nymph.flight.backup import fetch_folder
from nymph.model.config import ModelConfig
from nymph.plain import to_plain
from nymph.training.checkpoint import (
    best_of,
    list_checkpoints,
    newest_good,
    read_config,
    read_state,
    set_aside,
    verify_checkpoint,
)
from nymph.training.job import Job
from nymph.training.state import TrainingState

MODEL_TYPE = "nymph"


@dataclass(frozen=True)
class Beginning:
    """What to start from."""

    checkpoint: Path | None
    """None is from nothing."""
    state: TrainingState
    notes: list[str] = field(default_factory=list)
    """What the user should know about the choice."""


def find_beginning(job: Job, rows: str, restarted: bool = False) -> Beginning:
    """Decide where `job` begins, on training rows with fingerprint `rows`; reads and renames, loads no tensor.

    Args:
        restarted: The launcher restarted this very run, so it continues whatever `job.resume` says, unless nothing
            of it was saved yet.

    Raises:
        NymphError: The named checkpoint does not exist, is damaged, or is of another model.
    """
    directory = Path(job.checkpoint_directory)
    wanted = "latest" if restarted and list_checkpoints(directory) else job.resume
    if wanted == "none":
        return _fresh(directory, rows, [])
    if wanted == "latest":
        return _latest(job, directory, rows)
    return _named(job, directory, rows, best_of(directory) if wanted == "best" else _place(job, wanted))


def checkpoint_config(model: ModelConfig) -> dict[str, Any]:
    """What a checkpoint's config.json holds: enough for `MultimodalModel.from_pretrained`."""
    return {"model_type": MODEL_TYPE, **to_plain(model)}


def _latest(job: Job, directory: Path, rows: str) -> Beginning:
    path, notes = newest_good(directory)
    if path is None:
        return _fresh(directory, rows, notes)
    state = TrainingState.from_dict(read_state(path))
    changed = _changes(job, path, state, rows)
    if changed:
        return _fresh(directory, rows, [*notes, f"{changed} changed since {path.name}: training begins anew"])
    if path != list_checkpoints(directory)[-1]:
        notes.append(f"going back to {path.name}")
    set_aside(directory, state.step)
    return Beginning(path, state, notes)


def _place(job: Job, wanted: str) -> Path:
    """Where a checkpoint that was asked for lies; one that is kept elsewhere is fetched first."""
    if "://" not in wanted:
        return Path(wanted)
    fetched = Path(job.checkpoint_directory) / "fetched" / wanted.rstrip("/").rpartition("/")[2]
    if not fetched.is_dir():
        fetch_folder(wanted, fetched, **job.reach)
    return fetched


def _named(job: Job, directory: Path, rows: str, path: Path | None) -> Beginning:
    if path is None or not path.is_dir():
        found = ", ".join(other.name for other in list_checkpoints(directory)) or "none"
        raise NymphError(f"resume: {job.resume!r} names no checkpoint; {directory} holds {found}")
    verify_checkpoint(path)
    state = TrainingState.from_dict(read_state(path))
    if _changes(job, path, state, state.rows):
        raise NymphError(f"resume: {path} is of another model; use its config.json, or resume=none")
    notes = []
    if state.rows != rows:
        notes.append(f"the rows are not those of {path.name}: they are read from their beginning")
        state.rows, state.cursor = rows, 0
    if path.parent.resolve() == directory.resolve():
        notes += _aside(directory, state.step)
    else:
        notes += _aside(directory, -1)
    return Beginning(path, state, notes)


def _fresh(directory: Path, rows: str, notes: list[str]) -> Beginning:
    return Beginning(None, TrainingState(rows=rows), [*notes, *_aside(directory, -1)])


def _aside(directory: Path, after: int) -> list[str]:
    moved = set_aside(directory, after)
    return [f"checkpoints of another run were moved to {moved}"] if moved else []


def _changes(job: Job, path: Path, state: TrainingState, rows: str) -> str:
    if read_config(path) != checkpoint_config(job.model):
        return "the model"
    return "" if state.rows == rows else "the training rows"
