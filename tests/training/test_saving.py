"""Checkpoints that are written beside the training: gently, but at once where somebody waits."""

import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from nymph.errors import NymphError
from nymph.training import pacing, saving
from nymph.training.checkpoint import read_checkpoint
from nymph.training.loop import train
from nymph.training.saving import Saved, Saver

from .conftest import JobMaker

Tensors = dict[str, torch.Tensor]
MODEL = {"weight": torch.ones(3 << 20)}
"""Three pieces."""


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that nobody waits for rests for years after its first piece."""
    monkeypatch.setattr(pacing, "SHARE", 1e-12)
    monkeypatch.setattr(pacing, "WORTH", 0.0)
    monkeypatch.setattr(saving, "WRITING", 1e12)


def make_saver(folder: Path, model: Tensors) -> tuple[Saver, list[Saved]]:
    saved: list[Saved] = []
    return Saver(folder, 5, lambda: (model, {"moment": torch.zeros(8)}), saved.append), saved


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("endless")
def test_who_waits_for_a_checkpoint_ends_its_rests(tmp_path: Path) -> None:
    saver, saved = make_saver(tmp_path, MODEL)
    saver.save({"step": 1}, {})
    saver.wait()
    assert [(found.step, found.error) for found in saved] == [(1, "")]


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("endless")
def test_a_checkpoint_that_is_wanted_now_does_not_rest(tmp_path: Path) -> None:
    written = threading.Event()
    saver = Saver(tmp_path, 5, lambda: (MODEL, {"moment": torch.zeros(8)}), lambda _: written.set())
    saver.save({"step": 1}, {})
    saver.hurry()
    assert written.wait(60)
    saver.wait()


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("endless")
def test_the_next_save_waits_and_each_holds_what_was_trained_when_it_was_asked_for(tmp_path: Path) -> None:
    model = {"weight": torch.zeros(3 << 20)}
    saver, saved = make_saver(tmp_path, model)
    for step in (1, 2):
        model["weight"].fill_(step)
        saver.save({"step": step}, {})
    model["weight"].fill_(3)
    saver.wait()
    for found in saved:
        assert found.path is not None
        assert read_checkpoint(found.path).model["weight"].unique().tolist() == [found.step]
    assert len(saved) == 2


def test_nan_is_not_saved_but_told(tmp_path: Path) -> None:
    saver, saved = make_saver(tmp_path, {"weight": torch.tensor([1.0, torch.nan])})
    saver.save({"step": 1}, {})
    saver.wait()
    assert (saved[0].path, "NaN or Inf in 'weight'" in saved[0].error) == (None, True)
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_its_last_checkpoint_has_failed_though_that_was_told_before(
    make_job: JobMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=100))
    job = make_job(steps=2, evaluation_every=0, checkpoint_every=2, asynchronous_checkpoints=False)
    with pytest.raises(NymphError, match="the last checkpoint is missing: step 2 could not be saved"):
        train(job)
