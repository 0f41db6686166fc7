from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nymph.errors import NymphError
from nymph.training import objectives, preflight
from nymph.training.events import EVENTS, read_events
from nymph.training.job import Job
from nymph.training.loop import train

from .conftest import JobMaker


def small_device(monkeypatch: pytest.MonkeyPatch, rows: int, whenever: bool = False) -> None:
    """A device on which more than `rows` rows at once do not fit, with gradients or `whenever`."""
    compute = objectives.compute

    def limited(model: Any, batch: Any, *rest: Any) -> Any:
        if (whenever or torch.is_grad_enabled()) and len(batch["tokens"]) > rows:
            raise torch.OutOfMemoryError("tried to allocate 1 EiB")
        return compute(model, batch, *rest)

    monkeypatch.setattr(objectives, "compute", limited)


def events(job: Job, kind: str) -> list[dict[str, Any]]:
    return [event for event in read_events(Path(job.run_directory) / EVENTS) if event["kind"] == kind]


def test_smaller_micro_batches_give_the_same_losses(make_job: JobMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_job()
    quiet = {
        "model": replace(config.model, modality_dropout=0.0),
        "objectives": replace(config.objectives, mask_share=0.0, label_share=0.0),
        "batch_rows": 8,
    }
    roomy, tight = make_job("roomy", **quiet), make_job("tight", **quiet)
    train(roomy)
    small_device(monkeypatch, rows=2)
    assert train(tight).status == "finished"
    losses = [[event["loss"] for event in events(job, "step")] for job in (roomy, tight)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    alerts = [event for event in events(tight, "alert") if event["rule"] == "out_of_memory"]
    assert [alert["message"].split(":")[0] for alert in alerts] == [
        "8 rows at once do not fit",
        "4 rows at once do not fit",
    ]


def test_a_run_remembers_what_fits(make_job: JobMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(batch_rows=8, steps=1, evaluation_every=0)
    small_device(monkeypatch, rows=4)
    for again in (job, replace(job, steps=2), replace(job, steps=3, gradient_accumulation=4)):
        train(again)
    said = [alert["message"].split(":")[0] for alert in events(job, "alert") if alert["rule"] == "out_of_memory"]
    assert said == ["8 rows at once do not fit", "2 micro-batches a step, of 4 rows at most"]


def test_one_row_that_does_not_fit_is_an_error_with_its_size(
    make_job: JobMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_device(monkeypatch, rows=0)
    with pytest.raises(NymphError, match="out of memory with micro-batches of 1 rows: tried to allocate 1 EiB"):
        train(make_job())


def test_another_runtime_error_is_not_taken_for_it(make_job: JobMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any) -> Any:
        raise RuntimeError("inline_container.cc unexpected pos")

    monkeypatch.setattr(objectives, "compute", broken)
    with pytest.raises(RuntimeError, match="unexpected pos"):
        train(make_job())


def test_the_largest_batch_is_tried_before_the_first_step(make_job: JobMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, tight = make_job("plain", batch_rows=8), make_job("tight", batch_rows=8, preflight="always")
    train(plain)
    compute = objectives.compute

    def limited(model: Any, batch: Any, *rest: Any) -> Any:
        if (
            torch.is_grad_enabled() and len(batch["tokens"]) > 4 and len(batch["audio"]) > 100
        ):  # only where every position is sound
            raise torch.OutOfMemoryError("tried to allocate 1 EiB")
        return compute(model, batch, *rest)

    monkeypatch.setattr(objectives, "compute", limited)
    assert train(tight).status == "finished"
    kinds = [event["kind"] for event in read_events(Path(tight.run_directory) / EVENTS)]
    assert kinds.index("alert") < kinds.index("step")
    (alert,) = events(tight, "alert")
    assert alert["message"] == "8 rows at once do not fit: 2 micro-batches a step from here on"


def test_an_evaluation_takes_no_more_rows_at_once_than_fit(make_job: JobMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    small_device(monkeypatch, rows=2, whenever=True)
    job = make_job(batch_rows=8, steps=1, preflight="always")
    assert train(job).status == "finished"
    assert len(events(job, "evaluation")) == 2


def test_a_preflight_that_fits_changes_nothing(make_job: JobMaker) -> None:
    first, second = make_job("first"), make_job("second", preflight="always")
    train(first), train(second)
    losses = [[event["loss"] for event in events(job, "step")] for job in (first, second)]
    assert losses[0] == losses[1]


def test_a_row_that_does_not_fit_is_said_before_the_first_step(
    make_job: JobMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_device(monkeypatch, rows=0)
    job = make_job(preflight="always", evaluation_every=0, validation_rows=None)
    with pytest.raises(NymphError, match="one row does not fit the memory"):
        train(job)
    assert events(job, "step") == []


class Parts:
    """Stands in for a stepper of ranks that hold parts of a model; remembers how many rows it was given."""

    def __init__(self) -> None:
        self.optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])
        self.rows = list[int]()

    def rehearse(self, batch: Any, pieces: int) -> None:
        self.rows.append(len(batch["tokens"]))


def test_what_many_rows_need_of_ranks_with_parts_is_told_from_two(
    make_job: JobMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: Any = Parts()
    monkeypatch.setattr(preflight, "memory_bytes", lambda device: 100 + 50 * parts.rows[-1])
    monkeypatch.setattr(preflight, "_room", lambda device: 1000)
    model, device = make_job().model, torch.device("cpu")
    fit = [preflight.fits_together(parts, model, rows, 20, 2, device) for rows in (1, 16, 17)]
    assert fit == [True, True, False]  # 900 bytes of 1000 are used at most
    assert max(parts.rows) == 2
