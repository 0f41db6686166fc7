import json
import os
import signal
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from nymph.errors import NymphError
from nymph.model.multimodal import MultimodalModel
from nymph.tensors import load_tensors
from nymph.training import checkpoint
from nymph.training.checkpoint import read_state
from nymph.training.console import Silence
from nymph.training.events import read_events
from nymph.training.job import Job
from nymph.training.loop import locked, train
from nymph.training.report import Report
from nymph.training.resume import find_beginning

from .conftest import JobMaker, write_rows


def events(job: Job, kind: str) -> list[dict[str, Any]]:
    return [event for event in read_events(Path(job.run_directory) / "events.jsonl") if event["kind"] == kind]


def losses(job: Job) -> list[float]:
    return [event["loss"] for event in events(job, "step")]


def weights(report: Report) -> dict[str, torch.Tensor]:
    assert report.checkpoint is not None
    return load_tensors(Path(report.checkpoint) / "model.safetensors")


class StopAt(Silence):
    """Raises a signal or an error once a step is reached."""

    def __init__(self, step: int, what: signal.Signals | Exception) -> None:
        self.at, self.what = step, what

    def step(self, event: Any) -> None:
        if event["step"] == self.at:
            if isinstance(self.what, Exception):
                raise self.what
            os.kill(os.getpid(), self.what)


def test_training_learns_and_reports(make_job: JobMaker, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "many", 400)
    fast = replace(make_job().optimiser, learning_rate=1e-2)
    job = make_job(steps=60, batch_rows=8, evaluation_every=20, checkpoint_every=30, optimiser=fast, train_rows=rows)
    report = train(job)
    assert (report.status, report.steps, report.resumed_from) == ("finished", 60, None)
    assert report.last_training_loss < 0.9 * report.first_training_loss  # type: ignore[operator]
    assert report.last_validation_loss < 0.95 * report.first_validation_loss  # type: ignore[operator]
    assert report.tokens == 60 * 8 * 16


def test_the_log_tells_the_whole_run(make_job: JobMaker) -> None:
    job = make_job()
    report = train(job)
    start, end = events(job, "start")[0], events(job, "end")[0]
    assert (start["run"], start["total_steps"], start["tokens_per_step"]) == ("run", 6, 48)
    assert Job.from_dict(start["job"]) == job
    assert [event["step"] for event in events(job, "step")] == [1, 2, 3, 4, 5, 6]
    assert [event["step"] for event in events(job, "evaluation")] == [0, 3, 6]
    assert {2, 4, 6} <= {event["step"] for event in events(job, "checkpoint")}
    assert (end["status"], end["step"]) == ("finished", 6)
    assert report.checkpoint == str(checkpoint.checkpoint_path(Path(job.checkpoint_directory), 6))


def test_the_same_job_gives_the_same_losses(make_job: JobMaker) -> None:
    first, second = make_job("a"), make_job("b", asynchronous_checkpoints=False, prefetch=1)
    assert weights(train(first)).keys() == weights(train(second)).keys()
    assert losses(first) == losses(second)


def test_interrupted_anywhere_and_resumed_equals_undisturbed_bit_for_bit(make_job: JobMaker) -> None:
    whole = make_job("whole")
    undisturbed = train(whole)
    kept = weights(undisturbed)
    for step, ending in product((1, 3, 5), (signal.SIGTERM, signal.SIGINT, ValueError("a bug"))):
        broken = make_job(f"broken-{step}-{ending}")
        with pytest.raises((SystemExit, KeyboardInterrupt, ValueError)):
            train(broken, StopAt(step, ending))
        report = train(broken)
        assert report.resumed_from is not None
        assert losses(broken) == losses(whole)
        assert all(tensor.equal(kept[name]) for name, tensor in weights(report).items())
        assert report.last_validation_loss == undisturbed.last_validation_loss


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_signal_ends_with_a_checkpoint_and_the_reason(make_job: JobMaker, number: Any, status: Any) -> None:
    job, mine = make_job(checkpoint_every=0), signal.getsignal(signal.SIGINT)
    with pytest.raises(status) as caught:
        train(job, StopAt(2, number))
    assert status is KeyboardInterrupt or caught.value.code == 143
    assert [path.name for path in checkpoint.list_checkpoints(Path(job.checkpoint_directory))] == ["step-00000002"]
    assert [event["status"] for event in events(job, "end")] == ["killed"]
    assert signal.getsignal(signal.SIGINT) is mine


def test_sigusr1_saves_and_goes_on(make_job: JobMaker) -> None:
    job = make_job(checkpoint_every=0, evaluation_every=0)
    assert train(job, StopAt(2, signal.SIGUSR1)).status == "finished"
    assert [event["step"] for event in events(job, "checkpoint")] == [2, 6]


def test_an_error_leaves_a_checkpoint_and_a_failed_end(make_job: JobMaker) -> None:
    job = make_job(checkpoint_every=0)
    with pytest.raises(ValueError, match="a bug"):
        train(job, StopAt(2, ValueError("a bug")))
    assert [(event["status"], event["reason"]) for event in events(job, "end")] == [("failed", "ValueError: a bug")]
    assert train(job).resumed_from is not None


def test_a_finished_run_says_so_at_once(make_job: JobMaker) -> None:
    job = make_job()
    first = train(job)
    again = train(job)
    assert (again.status, again.steps, again.checkpoint) == ("already_finished", 6, first.checkpoint)
    assert len(events(job, "start")) == 1


def test_more_steps_continue_a_finished_run(make_job: JobMaker) -> None:
    train(make_job())
    report = train(make_job(steps=8))
    assert (report.status, report.steps) == ("finished", 8)
    assert report.resumed_from is not None


def test_resume_none_begins_anew_and_keeps_what_was(make_job: JobMaker) -> None:
    train(make_job())
    report = train(make_job(resume="none"))
    assert (report.status, report.resumed_from) == ("finished", None)
    aside = Path(make_job().checkpoint_directory) / "superseded-1"
    assert checkpoint.list_checkpoints(aside)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(make_job: JobMaker) -> None:
    whole, broken = make_job("whole"), make_job("broken")
    train(whole)
    with pytest.raises(ValueError, match="a bug"):
        train(broken, StopAt(5, ValueError("a bug")))
    latest = checkpoint.list_checkpoints(Path(broken.checkpoint_directory))[-1]
    data = bytearray((latest / "optimizer.safetensors").read_bytes())
    data[-9] ^= 1
    (latest / "optimizer.safetensors").write_bytes(data)
    report = train(broken)
    assert report.resumed_from is not None
    assert report.resumed_from.endswith("step-00000004")
    assert any("step-00000005" in event["message"] for event in events(broken, "alert"))
    assert losses(broken)[-2:] == losses(whole)[-2:]


def test_changed_rows_make_a_new_run(make_job: JobMaker, tmp_path: Path) -> None:
    train(make_job())
    report = train(make_job(train_rows=write_rows(tmp_path / "more", 30, seed=3)))
    assert (report.status, report.resumed_from) == ("finished", None)
    assert any("training rows changed" in event["message"] for event in events(make_job(), "alert"))


def test_a_named_checkpoint_of_another_model_is_refused(make_job: JobMaker) -> None:
    report = train(make_job())
    other = make_job("other", resume=report.checkpoint, model=replace(make_job().model, layers=1))
    with pytest.raises(NymphError, match="is of another model"):
        train(other)


def test_a_named_checkpoint_of_another_run_is_continued(make_job: JobMaker) -> None:
    report = train(make_job())
    other = train(make_job("other", resume=report.checkpoint, steps=8))
    assert (other.resumed_from, other.steps) == (report.checkpoint, 8)


def test_a_restart_goes_on_from_what_was_saved_or_begins_where_it_was_told_to(make_job: JobMaker) -> None:
    report = train(make_job(steps=2))
    job = make_job("other", resume=report.checkpoint)
    rows = read_state(Path(str(report.checkpoint)))["rows"]
    assert str(find_beginning(job, rows, restarted=True).checkpoint) == report.checkpoint
    train(replace(job, steps=4))
    assert find_beginning(job, rows, restarted=True).state.step == 4


def test_resume_best_goes_back_to_the_best(make_job: JobMaker) -> None:
    job = make_job(steps=12, evaluation_every=2, keep_last=20)
    train(job)
    best = checkpoint.best_of(Path(job.checkpoint_directory))
    report = train(replace(job, resume="best", steps=14))
    assert report.resumed_from == str(best)


def test_an_unknown_checkpoint_lists_what_there_is(make_job: JobMaker) -> None:
    with pytest.raises(NymphError, match=r"names no checkpoint; .* holds none"):
        train(make_job(resume="nowhere"))


def test_a_second_trainer_is_refused(make_job: JobMaker) -> None:
    job = make_job()
    with locked(Path(job.run_directory)), pytest.raises(NymphError, match="another trainer is at work"):
        train(job)
    assert not (Path(job.run_directory) / "events.jsonl").exists()


def test_a_checkpoint_is_a_model_anyone_can_load(make_job: JobMaker) -> None:
    report = train(make_job())
    model = MultimodalModel.from_pretrained(report.checkpoint)  # type: ignore[arg-type]
    assert all(tensor.equal(weights(report)[name]) for name, tensor in model.state_dict().items())


def test_accumulation_gives_the_losses_of_one_big_batch(make_job: JobMaker) -> None:
    quiet = {"model": replace(make_job().model, modality_dropout=0.0)}
    objectives = replace(make_job().objectives, mask_share=0.0, label_share=0.0)
    one = make_job("one", batch_rows=7, objectives=objectives, **quiet)
    three = make_job("three", batch_rows=7, gradient_accumulation=3, objectives=objectives, **quiet)
    train(one), train(three)
    assert losses(three) == pytest.approx(losses(one), rel=1e-5)


def test_patience_stops_early_and_the_run_is_then_finished(make_job: JobMaker) -> None:
    frozen = replace(make_job().optimiser, learning_rate=1e-12)
    job = make_job(steps=100, evaluation_every=1, patience=2, optimiser=frozen, checkpoint_every=0)
    report = train(job)
    assert report.status == "stopped"
    assert report.steps < 100
    assert train(job).status == "already_finished"


@pytest.mark.parametrize("limit", [{"max_tokens": 96}, {"max_seconds": 1e-9}])
def test_limits_stop_with_a_checkpoint(make_job: JobMaker, limit: dict[str, Any]) -> None:
    job = make_job(steps=100, **limit)
    report = train(job)
    assert report.status == "stopped"
    assert report.steps <= 2
    assert next(iter(limit)) in events(job, "end")[0]["reason"]


def test_the_autoencoder_objective_trains(make_job: JobMaker) -> None:
    objectives = replace(make_job().objectives, objective="autoencoder")
    assert train(make_job(objectives=objectives)).status == "finished"


def test_a_server_that_is_down_is_one_clear_line(make_job: JobMaker) -> None:
    with pytest.raises(NymphError, match=r"127\.0\.0\.1:1"):
        train(make_job(train_rows="grpc://127.0.0.1:1/rows", validation_rows=None, connection={"patience": 0.2}))


def test_the_module_runs_a_job_file(make_job: JobMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from nymph.training.__main__ import main

    make_job().write(tmp_path / "job.json")
    assert main([str(tmp_path / "job.json")]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["status"] == "finished"
    (tmp_path / "bad.json").write_text(json.dumps(make_job().to_dict() | {"step": 3}))
    assert main([str(tmp_path / "bad.json")]) == 1
    assert "did you mean 'steps'?" in capsys.readouterr().err


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains_and_resumes_exactly(make_job: JobMaker, precision: str) -> None:
    whole, broken = make_job("whole", precision=precision), make_job("broken", precision=precision)
    report = train(whole)
    with pytest.raises(ValueError, match="a bug"):
        train(broken, StopAt(3, ValueError("a bug")))
    train(broken)
    assert report.status == "finished"
    assert losses(broken) == losses(whole)
    scaler = checkpoint.read_state(Path(str(report.checkpoint)))["scaler"]
    assert bool(scaler) == (precision == "fp16")


def test_offloading_changes_where_activations_wait_and_nothing_else(make_job: JobMaker) -> None:
    kept = make_job("kept", gradient_checkpointing=True)
    offloaded = make_job("offloaded", gradient_checkpointing=True, offload_activations=True)
    train(kept)
    train(offloaded)
    assert losses(kept) == losses(offloaded)
