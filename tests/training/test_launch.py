import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nymph.errors import NymphError
from nymph.files import read_json
from nymph.pipelines.training.predictions import read_plan, write_plan
from nymph.tensors import load_tensors
from nymph.training import launch, objectives
from nymph.training.checkpoint import list_checkpoints, read_checkpoint, step_of
from nymph.training.console import Silence
from nymph.training.control import CONTROL
from nymph.training.data import StepReader
from nymph.training.events import EVENTS, read_events
from nymph.training.health import Alert, MachineWatch
from nymph.training.job import HealthRules, Job, Launch
from nymph.training.launch import _rank as run_rank
from nymph.training.loop import train
from nymph.training.plan import plan_step
from nymph.training.probe import RankSpeed
from nymph.training.report import Report
from nymph.training.run import Run
from nymph.training.signals import Requests
from nymph.training.stages import names_and_shapes

from .conftest import JobMaker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(autouse=True)
def short_samples() -> None:
    """Ranks are other processes, whose samples are whole: so are those of the process that is held against them."""


def plain(make_job: JobMaker, name: str, **options: Any) -> Job:
    """A job without random masks: those depend on how rows are dealt to ranks."""
    job = make_job(name, **options)
    return replace(
        job,
        model=replace(job.model, modality_dropout=0.0),
        objectives=replace(job.objectives, mask_share=0.0, label_share=0.0),
    )


def losses(job: Job) -> list[float]:
    events = read_events(Path(job.run_directory) / EVENTS)
    return [event["loss"] for event in events if event["kind"] == "step"]


def weights(report: Report) -> dict[str, Any]:
    return load_tensors(Path(str(report.checkpoint)) / "model.safetensors")


def furthest(report: Report, other: Report) -> float:
    """The largest mean distance of a parameter's weights. One of them alone may be far off: AdamW turns a gradient of
    nearly zero, whose sign is in how a machine rounds, into a whole step."""
    ours, theirs = weights(report), weights(other)
    return max(float((tensor - theirs[name]).abs().mean()) for name, tensor in ours.items())


def samples(job: Job) -> dict[str, list[int]]:
    """What the model went on with, by file."""
    return {path.name: read_json(path)["generated"] for path in Path(job.run_directory, "samples").glob("*.json")}


def updates(report: Report) -> dict[str, float]:
    """How often each parameter has been moved: never those that no row uses."""
    moments = load_tensors(Path(str(report.checkpoint)) / "optimizer.safetensors")
    return {name: float(tensor) for name, tensor in moments.items() if name.endswith(".step")}


@pytest.mark.parametrize(
    ("batch_rows", "options"),
    [
        (6, {}),
        (7, {"shares": (1, 3)}),
        (7, {"shares": (1, 3), "sharding": "optimizer"}),
        (7, {"shares": (1, 3), "sharding": "full"}),
    ],
    ids=["even", "uneven", "optimizer shards", "full shards"],
)
def test_ranks_train_like_one(make_job: JobMaker, batch_rows: int, options: dict[str, Any]) -> None:
    one = plain(make_job, "one", batch_rows=batch_rows, gradient_accumulation=3)
    two = plain(make_job, "two", batch_rows=batch_rows, gradient_accumulation=2, launch=Launch(ranks=2, **options))
    alone, together = train(one), train(replace(two, preflight="always"))
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    assert together.last_validation_loss == pytest.approx(alone.last_validation_loss, rel=1e-5)
    assert furthest(together, alone) < 1e-6
    assert updates(together) == updates(alone)
    assert samples(two) == samples(one)
    assert together.tokens == alone.tokens


@pytest.mark.parametrize(("tied", "masks"), [(True, 0.0), (False, 0.3)], ids=["tied", "untied, masked"])
def test_uneven_stages_train_like_one(make_job: JobMaker, tied: bool, masks: float) -> None:
    options = {"batch_rows": 6, "gradient_accumulation": 3, "steps": 3}
    one, two = (plain(make_job, name, **options) for name in ("one", "two"))
    model = replace(one.model, layers=3, tie_embeddings=tied)
    one, two = (replace(job, model=model, objectives=replace(job.objectives, mask_share=masks)) for job in (one, two))
    two = planned(two) if tied else replace(two, launch=Launch(ranks=2, stages=(2, 1)))
    assert two.launch.stages == (2, 1)
    alone, together = train(one), train(replace(two, preflight="always"))
    assert (together.prediction is not None and together.prediction.source == "plan") == tied
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    assert together.last_validation_loss == pytest.approx(alone.last_validation_loss, rel=1e-5)
    assert weights(together).keys() == weights(alone).keys()
    assert samples(two) == samples(one)
    assert furthest(together, alone) < 1e-6


def planned(job: Job) -> Job:
    """The job under a plan for two devices that cannot hold it whole, as a file whose stages were edited."""
    whole = 16 * sum(shape.numel() for shape in names_and_shapes(job.model).values())
    ranks = [
        RankSpeed("cpu", 100.0, whole, whole, 1000, int(share * whole), {"fp32": 1.0}, 1e9) for share in (0.55, 1.0)
    ]
    path = Path(job.run_directory).with_suffix(".yml")
    write_plan(path, plan_step(ranks, job.batch_rows, job.model))
    first, second = path.read_text().split("layers: 1\n")
    path.write_text(f"{first}layers: 2\n{second.replace('layers: 2', 'layers: 1')}")
    return read_plan(path).apply(job)


@pytest.mark.parametrize(
    ("options", "difference"),
    [({"compression": "bf16"}, 1e-4), ({"synchronise_every": 2, "shares": (1, 2)}, 2e-2)],
    ids=["bf16 gradients", "a mean of weights every other step"],
)
def test_ranks_that_exchange_less_train_nearly_like_one(
    make_job: JobMaker, options: dict[str, Any], difference: float
) -> None:
    one, two = plain(make_job, "one"), plain(make_job, "two", launch=Launch(ranks=2, **options))
    alone, together = train(one), train(two)
    assert losses(two) == pytest.approx(losses(one), rel=difference)
    assert losses(two)[1:] != losses(one)[1:]
    assert together.last_validation_loss == pytest.approx(alone.last_validation_loss, rel=difference)


@pytest.mark.parametrize("options", [{}, {"sharding": "full"}, {"stages": (1, 1)}], ids=["copies", "shards", "stages"])
def test_a_run_whose_rows_end_on_one_rank_continues_on_another_number_of_them(
    make_job: JobMaker, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    given = {"batch_rows": 4, "gradient_accumulation": 2, "evaluation_every": 0, "checkpoint_every": 0}
    whole, moved = (plain(make_job, name, **given) for name in ("whole", "moved"))
    train(whole)
    with pytest.raises(ValueError, match="half way"):
        train(moved, FailAt(2))
    monkeypatch.setattr(launch, "_rank", rank_without_rows)
    with pytest.raises(NymphError, match="rank 1 failed: the rows are gone"):
        train(replace(moved, launch=Launch(ranks=2, restarts=0, **options)))
    report = train(moved)
    assert report.resumed_from is not None
    assert report.resumed_from.endswith("00000004")
    assert losses(moved) == pytest.approx(losses(whole), rel=1e-5)


def rank_without_rows(values: dict[str, Any], places: list[int]) -> dict[str, Any]:
    """What the launcher starts, but rank 1 can read two steps only."""
    left, reading = [2], StepReader.next

    def perhaps(reader: StepReader) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise NymphError("the rows are gone")
        return reading(reader)

    if os.environ["RANK"] == "1":
        StepReader.next = perhaps  # type: ignore[method-assign]
    return run_rank(values, places)


def test_a_signal_to_the_launcher_asks_the_ranks_for_a_checkpoint(
    make_job: JobMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = plain(make_job, "asked", steps=3, evaluation_every=0, checkpoint_every=0, launch=Launch(ranks=2))
    monkeypatch.setattr(launch, "_rank", rank_that_waits_for_a_request)
    train(job, SignalAtStep1(signal.SIGUSR1))
    assert [step_of(path) for path in list_checkpoints(Path(job.checkpoint_directory))] == [1, 3]


class SignalAtStep1(Silence):
    """Sends this process, which is the launcher, a signal."""

    def __init__(self, number: signal.Signals) -> None:
        self.number = number

    def step(self, event: Any) -> None:
        if event["step"] == 1:
            os.kill(os.getpid(), self.number)


def rank_that_waits_for_a_request(values: dict[str, Any], places: list[int]) -> dict[str, Any]:
    """What the launcher starts, but after its first step each rank waits until somebody has asked for something."""
    between, asked = Run._between, Path(values["run_directory"], CONTROL)

    def wait(run: Run) -> None:
        while not (asked.exists() and asked.read_text().endswith("\n")):
            time.sleep(0.05)
        between(run)

    Run._between = wait  # type: ignore[method-assign]
    return run_rank(values, places)


def test_a_signal_that_all_processes_get_is_one_request(make_job: JobMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    job = plain(make_job, "ended", evaluation_every=0, checkpoint_every=0, launch=Launch(ranks=2))
    monkeypatch.setattr(launch, "_rank", rank_that_has_had_the_signal)
    with pytest.raises(SystemExit, match="143"):
        train(job, SignalAtStep1(signal.SIGTERM))
    assert [step_of(path) for path in list_checkpoints(Path(job.checkpoint_directory))] == [1]


def rank_that_has_had_the_signal(values: dict[str, Any], places: list[int]) -> dict[str, Any]:
    """What the launcher starts, but after its first step each rank has had SIGTERM, and then once more by it."""
    between, heard, had = Run._between, Requests._on_signal, list[int]()

    def hear(requests: Requests, number: int, frame: Any) -> None:
        had.append(number)
        heard(requests, number, frame)

    def wait(run: Run) -> None:
        signal.raise_signal(signal.SIGTERM)
        while len(had) < 2:
            time.sleep(0.05)
        between(run)

    Requests._on_signal, Run._between = hear, wait  # type: ignore[method-assign]
    return run_rank(values, places)


class FailAt(Silence):
    """Raises once a step is reached."""

    def __init__(self, step: int) -> None:
        self.at = step

    def step(self, event: Any) -> None:
        if event["step"] == self.at:
            raise ValueError("half way")


def rank_killed_once(values: dict[str, Any], places: list[int]) -> dict[str, Any]:
    """What the launcher starts, but rank 1 is killed at its fifth step in its first life."""
    kill_at(5) if os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0" else None
    return run_rank(values, places)


def rank_killed_always(values: dict[str, Any], places: list[int]) -> dict[str, Any]:
    """What the launcher starts, but in place 1 every life ends soon: the last one that the launcher looks at."""
    kill_at(3) if places[int(os.environ["LOCAL_RANK"])] == 1 else None
    return run_rank(values, places)


def kill_at(step: int) -> None:
    """Have this process killed between two steps, once it has done `step` of them."""
    between = Run._between

    def perhaps(run: Run) -> None:
        if run.state.step >= step:
            os.kill(os.getpid(), signal.SIGKILL)
        between(run)

    Run._between = perhaps  # type: ignore[method-assign]


def last_losses(job: Job) -> list[float]:
    """Of each step, as the last life of the run made it."""
    events = read_events(Path(job.run_directory) / EVENTS)
    return list({event["step"]: event["loss"] for event in events if event["kind"] == "step"}.values())


@pytest.mark.faults
def test_a_killed_rank_restarts_the_group_from_the_checkpoint(
    make_job: JobMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = plain(make_job, "killed", steps=10, checkpoint_every=2, launch=Launch(ranks=2))
    reference = plain(make_job, "reference", steps=10, checkpoint_every=0)
    monkeypatch.setattr(launch, "_rank", rank_killed_once)
    report = train(job)
    train(reference)
    assert (report.status, report.steps) == ("finished", 10)
    assert report.resumed_from is not None
    assert last_losses(job) == pytest.approx(losses(reference), rel=1e-5)


@pytest.mark.faults
def test_a_rank_that_is_gone_for_good_is_left_out(make_job: JobMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    job = plain(make_job, "fewer", checkpoint_every=1, launch=Launch(ranks=2, shares=(1, 2), restarts=0))
    reference = plain(make_job, "reference", checkpoint_every=0)
    monkeypatch.setattr(launch, "_rank", rank_killed_always)
    report = train(job)
    train(reference)
    assert (report.status, report.tokens) == ("finished", 6 * 3 * 16)
    assert last_losses(job) == pytest.approx(losses(reference), rel=1e-5)


@pytest.mark.faults
def test_nan_on_one_rank_is_left_out_by_all_and_its_troubles_are_told(
    make_job: JobMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = plain(
        make_job,
        "poisoned",
        steps=2,
        checkpoint_every=1,
        evaluation_every=0,
        validation_rows=None,
        launch=Launch(ranks=2),
        health=HealthRules(state_every=1),
    )
    monkeypatch.setattr(launch, "_rank", rank_poisoned)
    report = train(job)
    alerts = [event for event in read_events(Path(job.run_directory) / EVENTS) if event["kind"] == "alert"]
    assert [alert["message"] for alert in alerts if alert["rule"] == "device_hot"] == ["rank 1: too hot"]
    steps = [event for event in read_events(Path(job.run_directory) / EVENTS) if event["kind"] == "step"]
    assert min(step["data_wait"] for step in steps) > 0.9
    one, two = (read_checkpoint(path) for path in list_checkpoints(Path(job.checkpoint_directory)))
    assert (report.status, report.skipped) == ("finished", 1)
    for before, after in ((one.model, two.model), (one.optimizer, two.optimizer)):
        assert all(bool((tensor == after[name]).all()) for name, tensor in before.items())


def rank_poisoned(values: dict[str, Any], places: list[int]) -> dict[str, Any]:
    """What the launcher starts, but rank 1 waits for rows, its second loss is not a number, and its device is hot."""
    compute, calls = objectives.compute, [0]

    def poisoned(*arguments: Any) -> Any:
        calls[0] += 1
        factor = math.nan if calls[0] == 2 else 1.0
        return {name: (loss * factor, count) for name, (loss, count) in compute(*arguments).items()}

    if os.environ["RANK"] == "1":
        objectives.compute = poisoned  # type: ignore[attr-defined]
        reading = StepReader.next
        StepReader.next = lambda reader: (reading(reader)[0], 1e4)  # type: ignore[method-assign]
        MachineWatch._temperature = lambda watch: Alert("device_hot", "too hot")  # type: ignore[method-assign]
    return run_rank(values, places)


def test_the_error_of_a_rank_is_one_clear_line(make_job: JobMaker) -> None:
    job = make_job(launch=Launch(ranks=2, shares=(1, 1, 1), restarts=0))
    with pytest.raises(NymphError, match=r"rank \d failed: launch\.shares has 3 values, expected one for each of 2"):
        train(job)


def test_torchrun_trains_the_job_file_like_one_process(make_job: JobMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, job = (plain(make_job, name, steps=3) for name in ("alone", "by-hand"))
    file = Path(job.checkpoint_directory).with_suffix(".json")
    replace(job, launch=Launch(ranks=2)).write(file)
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    place = ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1", "--nproc-per-node=2"]
    command = [sys.executable, "-m", "torch.distributed.run", *place, "-m", "nymph.training", str(file)]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    train(alone)
    assert losses(job) == pytest.approx(losses(alone), rel=1e-5)


@pytest.mark.faults
def test_a_rank_out_of_memory_starts_all_again_with_smaller_micro_batches(
    make_job: JobMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice: once the launcher may start them again, and once it has given up."""
    options: dict[str, Any] = {"batch_rows": 8, "evaluation_every": 0, "checkpoint_every": 0}
    reference = plain(make_job, "reference", **options)
    job = plain(make_job, "tight", launch=Launch(ranks=2, restarts=1), **options)
    monkeypatch.setattr(launch, "_rank", rank_with_little_memory)
    report = train(job)
    train(reference)
    assert (report.status, report.steps) == ("finished", 6)
    assert losses(job) == pytest.approx(losses(reference), rel=1e-5)  # no step was made twice
    events = read_events(Path(job.run_directory) / EVENTS)
    alerts = [event["message"].split(":")[0] for event in events if event.get("rule") == "out_of_memory"]
    assert alerts == [f"{pieces} micro-batches a step, of {4 // pieces} rows at most" for pieces in (2, 4)]


def rank_with_little_memory(values: dict[str, Any], places: list[int]) -> dict[str, Any]:
    """What the launcher starts, but rank 1 soon has room for one row only. Rank 0 dies as soon as it is left alone, as
    over NCCL."""
    compute, calls = objectives.compute, [0]

    def limited(model: Any, batch: Any, *rest: Any) -> Any:
        calls[0] += torch.is_grad_enabled()
        if torch.is_grad_enabled() and len(batch["tokens"]) > 1 and calls[0] > 3:
            raise torch.OutOfMemoryError("tried to allocate 1 EiB")
        return compute(model, batch, *rest)

    if os.environ["RANK"] == "1":
        objectives.compute = limited  # type: ignore[attr-defined]
    else:
        Run._on_error = lambda *arguments, **options: os._exit(1)  # type: ignore[method-assign]
    return run_rank(values, places)
