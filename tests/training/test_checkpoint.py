import json
import random
from pathlib import Path

import pytest
import torch

from nymph.errors import NymphError
from nymph.model.multimodal import MultimodalModel
from nymph.training import checkpoint
from nymph.training.checkpoint import Snapshot
from nymph.training.job import Optimiser
from nymph.training.optimisation import build_optimizer, optimizer_tensors
from nymph.training.state import TrainingState


def snapshot(step: int, loss: float | None = None) -> Snapshot:
    generator = torch.Generator().manual_seed(step)
    return Snapshot(
        step=step,
        model={"weight": torch.randn(16, 8, generator=generator), "half": torch.ones(3, dtype=torch.bfloat16)},
        optimizer={"weight.exp_avg": torch.randn(16, 8, generator=generator)},
        state={"step": step, "validation_loss": loss},
        config={"width": 8},
    )


def written(directory: Path, *steps: int) -> list[Path]:
    return [checkpoint.write_checkpoint(directory, snapshot(step)) for step in steps]


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    (path,) = written(tmp_path, 100)
    loaded = checkpoint.read_checkpoint(path)
    assert path.name == "step-00000100"
    assert loaded.model["weight"].equal(snapshot(100).model["weight"])
    assert loaded.optimizer["weight.exp_avg"].equal(snapshot(100).optimizer["weight.exp_avg"])
    assert (loaded.step, loaded.state["step"], loaded.config) == (100, 100, {"width": 8})


def test_the_newest_is_found_by_step_not_by_age(tmp_path: Path) -> None:
    written(tmp_path, 200, 100)
    assert checkpoint.newest_good(tmp_path) == (tmp_path / "step-00000200", [])


def test_every_single_flipped_bit_is_found(tmp_path: Path) -> None:
    (path,) = written(tmp_path, 1)
    files = [file for file in path.iterdir() if file.name != checkpoint.MANIFEST]
    chance = random.Random(7)
    for _ in range(200):
        file = chance.choice(files)
        sound = file.read_bytes()
        damaged = bytearray(sound)
        damaged[chance.randrange(len(sound))] ^= 1 << chance.randrange(8)
        file.write_bytes(damaged)
        with pytest.raises(NymphError, match=rf"damaged: the sha256 of {file.name}"):
            checkpoint.read_checkpoint(path)
        file.write_bytes(sound)
    checkpoint.read_checkpoint(path)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "optimizer.safetensors", "state.json", "config.json", "manifest.json"]
)
def test_a_truncated_or_missing_file_is_found(tmp_path: Path, name: str) -> None:
    (path,) = written(tmp_path, 1)
    (path / name).write_bytes((path / name).read_bytes()[:-20])
    with pytest.raises(NymphError):
        checkpoint.read_checkpoint(path)
    (path / name).unlink()
    with pytest.raises(NymphError):
        checkpoint.read_checkpoint(path)


def test_a_damaged_checkpoint_gives_way_to_the_one_before_and_is_named(tmp_path: Path) -> None:
    old, new = written(tmp_path, 1, 2)
    (new / "state.json").write_text("{}")
    path, reasons = checkpoint.newest_good(tmp_path)
    assert path == old
    assert len(reasons) == 1
    assert "step-00000002" in reasons[0]


def test_pruning_keeps_the_last_ones_and_the_best(tmp_path: Path) -> None:
    for step, loss in [(1, 3.0), (2, 1.0), (3, 2.0), (4, None), (5, None)]:
        checkpoint.write_checkpoint(tmp_path, snapshot(step, loss))
    checkpoint.prune(tmp_path, keep_last=2)
    assert [path.name[-1] for path in checkpoint.list_checkpoints(tmp_path)] == ["2", "4", "5"]


def test_leftovers_of_a_killed_writer_are_no_checkpoints(tmp_path: Path) -> None:
    written(tmp_path, 1)
    (tmp_path / ".part-step-00000002-x").mkdir()
    (tmp_path / "step-2").mkdir()
    assert [path.name for path in checkpoint.list_checkpoints(tmp_path)] == ["step-00000001"]


def test_a_full_disk_is_seen_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, 1)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 100})())
    with pytest.raises(NymphError, match=r"needs [0-9,]+ bytes, 100 are free"):
        written(tmp_path, 2)
    assert checkpoint.newest_good(tmp_path)[0] == tmp_path / "step-00000001"


def test_a_failed_write_leaves_the_old_checkpoint_and_no_stump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, 1)
    monkeypatch.setattr(checkpoint, "_write_plain", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match="No space left"):
        written(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


def test_newer_checkpoints_are_set_aside_not_deleted(tmp_path: Path) -> None:
    written(tmp_path, 1, 2, 3)
    aside = checkpoint.set_aside(tmp_path, after=1)
    assert [path.name[-1] for path in checkpoint.list_checkpoints(tmp_path)] == ["1"]
    assert aside is not None
    assert len(checkpoint.list_checkpoints(aside)) == 2


def test_another_schema_is_refused_with_its_number(tmp_path: Path) -> None:
    (path,) = written(tmp_path, 1)
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | {"schema": 99}))
    with pytest.raises(NymphError, match="has schema 99; this version reads 1"):
        checkpoint.read_checkpoint(path)


def test_the_state_is_read_without_the_tensors(tmp_path: Path) -> None:
    (path,) = written(tmp_path, 4)
    assert checkpoint.read_state(path)["step"] == 4


def test_a_checkpoint_of_the_first_release_loads() -> None:
    path = Path(__file__).parent / "schema-1" / "step-00000007"
    found = checkpoint.read_checkpoint(path)
    state, model = TrainingState.from_dict(found.state), MultimodalModel.from_pretrained(path)
    assert (found.step, state.cursor, state.best_step) == (7, 21, 6)
    assert all(torch.equal(tensor, found.model[name]) for name, tensor in model.state_dict().items())
    assert set(found.optimizer) == set(optimizer_tensors(model, build_optimizer(model, Optimiser())))
