"""What the model makes of validation documents is written for people, beside the event log."""

import base64
from pathlib import Path

import pytest
import torch

from nymph.files import read_json
from nymph.flight.source import open_source
from nymph.model.multimodal import MultimodalModel
from nymph.sequences.schema import MEL_BINS
from nymph.training import samples
from nymph.training.events import EVENTS, read_events
from nymph.training.loop import train
from nymph.training.machine import FIGURES, LOOK_SECONDS, RankFigures
from nymph.training.samples import Sampler, find_specimens

from .conftest import TINY, JobMaker, write_rows


def test_an_evaluation_leaves_samples_that_the_log_names(make_job: JobMaker) -> None:
    job = make_job(steps=2, evaluation_every=2)
    train(job)
    run = Path(job.run_directory)
    names = [event["file"] for event in read_events(run / EVENTS) if event["kind"] == "sample"]
    sample = read_json(run / names[-1])
    assert {sample["step"], read_json(run / names[0])["step"]} == {0, 2}
    assert len(sample["generated"]) > 0


def test_sound_is_a_picture_of_what_is_and_of_what_the_model_expects(tmp_path: Path) -> None:
    source = open_source(write_rows(tmp_path / "rows", 4))
    [name, *_] = Sampler(tmp_path, source, "fp32").write(7, MultimodalModel(TINY))
    mel = read_json(tmp_path / name)["mel"]
    true, predicted = (base64.b64decode(mel[side]) for side in ("true", "predicted"))
    assert len(true) == len(predicted) == 3 * 8 * MEL_BINS
    assert true != predicted


def test_documents_that_show_most_come_first_and_no_two_show_the_same(tmp_path: Path) -> None:
    source = open_source(write_rows(tmp_path / "rows", 4))
    shapes = [specimen.shape for specimen in find_specimens(source, 5)]
    assert len(set(shapes)) == len(shapes)
    assert sum(shapes[0]) == max(map(sum, shapes))


def test_looking_changes_nothing_in_the_model(tmp_path: Path) -> None:
    model, source = MultimodalModel(TINY).train(), open_source(write_rows(tmp_path / "rows", 2))
    before, dice = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    Sampler(tmp_path, source, "fp32").write(1, model)
    assert model.training
    assert torch.equal(torch.get_rng_state(), dice)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_old_samples_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "FILES_KEPT", 5)
    sampler, model = Sampler(tmp_path, open_source(write_rows(tmp_path / "rows", 2)), "fp32"), MultimodalModel(TINY)
    sampled = 0
    for step in range(5):
        last = sampler.write(step, model)
        sampled += len(last)
    files = sorted(file.name for file in (tmp_path / "samples").iterdir())
    assert len(files) == 5 < sampled
    assert {Path(name).name for name in last} <= set(files)


def test_the_figures_of_all_ranks_add_up(tmp_path: Path) -> None:
    now = [0.0]
    ranks = [RankFigures(torch.device("cpu"), rank, 2, lambda: now[0]) for rank in range(2)]
    assert ranks[0].report(ranks[0].addends()) is None
    now[0] = LOOK_SECONDS
    sums = [sum(pair) for pair in zip(*(rank.addends() for rank in ranks), strict=True)]
    report = ranks[0].report(sums) or {}
    assert set(report) == set(FIGURES)
    assert set(report["memory_bytes"]) == {"rank 0", "rank 1"}
