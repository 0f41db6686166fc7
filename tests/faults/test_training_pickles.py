"""P1: files that would run code if anything unpickled them, with torch's own safety switched off."""

import ast
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

import nymph
from nymph.audio.speaker import SpeakerEncoder
from nymph.errors import NymphError
from nymph.files import read_json, sha256_file, write_json
from nymph.hooks.unpickling import SWITCH, UnpicklingHook
from nymph.training import checkpoint
from nymph.training.loop import train

from ..training.conftest import JobMaker, make_job  # noqa: F401, TID252

pytestmark = pytest.mark.faults
UNPICKLING = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "torch.distributed.checkpoint"}


class Canary:
    """Makes a folder when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self._place = str(place)

    def __reduce__(self) -> Any:
        return os.mkdir, (self._place,)


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the folder would be; torch is told to unpickle whatever it is given."""
    monkeypatch.setenv(SWITCH, "1")
    return tmp_path / "canary"


def test_the_bait_bites_where_it_is_unpickled(canary: Path, tmp_path: Path) -> None:
    torch.save({"model_state": Canary(canary)}, tmp_path / "bait.pt")
    with pytest.warns(UserWarning, match=SWITCH):
        torch.load(tmp_path / "bait.pt")
    assert canary.exists()


def test_speaker_weights_run_nothing(canary: Path, tmp_path: Path) -> None:
    torch.save({"model_state": Canary(canary)}, tmp_path / "bait.pt")
    with pytest.raises(NymphError, match=r"expected Resemblyzer's speaker weights in 'bait\.pt'"):
        SpeakerEncoder.load(tmp_path / "bait.pt")
    assert not canary.exists()


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json", "config.json"])
def test_a_checkpoint_of_pickles_is_refused(make_job: JobMaker, canary: Path, name: str) -> None:  # noqa: F811
    path = Path(str(train(make_job(steps=1)).checkpoint))
    (path / name).write_bytes(pickle.dumps(Canary(canary)))
    (path / ".metadata").write_bytes(pickle.dumps(Canary(canary)))  # what torch.distributed.checkpoint unpickles
    manifest = read_json(path / checkpoint.MANIFEST)
    manifest["files"][name] = {"sha256": sha256_file(path / name), "bytes": (path / name).stat().st_size}
    write_json(path / checkpoint.MANIFEST, manifest)
    with pytest.raises(NymphError):
        train(make_job(steps=2, resume=str(path)))
    assert not canary.exists()


@pytest.mark.usefixtures("canary")
def test_a_kedro_project_does_not_start_under_the_switch() -> None:
    with pytest.raises(NymphError, match="TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD is set"):
        UnpicklingHook().after_context_created()


def test_no_module_can_unpickle() -> None:
    for file in Path(nymph.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            assert not UNPICKLING.intersection(imported(node)), file
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            assert called not in ("joblib.load", "numpy.load", "np.load"), file
            if isinstance(node, ast.Call) and called == "torch.load":
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert given.get("weights_only") == "True", file


def imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    return {node.module or ""} if isinstance(node, ast.ImportFrom) else set()
