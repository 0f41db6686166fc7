"""Each rule with the fault it is for, injected; and none of them on ordinary steps."""

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nymph.errors import NymphError
from nymph.model.multimodal import MultimodalModel
from nymph.tensors import load_tensors
from nymph.training import checkpoint, objectives
from nymph.training.events import EVENTS, read_events
from nymph.training.health import Alert, MachineWatch, Monitor
from nymph.training.job import HealthRules, Job
from nymph.training.loop import train
from nymph.training.step import StepResult
from nymph.training.world import World

from .conftest import JobMaker


def result(loss: float = 2.0, norm: float = 1.0, **targets: float) -> StepResult:
    return StepResult(loss, {"next_token": loss}, targets or {"next_token": 10.0}, norm, 100, None)


def ordinary(chance: random.Random, number: int) -> StepResult:
    """A falling loss with the noise of small batches, and gradient norms as skewed as real ones."""
    return result(2 + 3 * math.exp(-number / 2000) + chance.gauss(0, 0.1), math.exp(chance.gauss(0, 0.3)))


def watch(monitor: Monitor, steps: list[StepResult], speed: float = 1000.0, wait: float = 0.0) -> list[Alert]:
    return [alert for one in steps for alert in monitor.observe(one, (8, 16), speed, wait)]


def warm(rules: HealthRules | None = None) -> Monitor:
    monitor, chance = Monitor(rules or HealthRules()), random.Random(1)
    watch(monitor, [ordinary(chance, 5000) for _ in range(128)])
    return monitor


def test_ten_thousand_ordinary_steps_raise_no_alarm() -> None:
    chance, monitor = random.Random(0), Monitor(HealthRules(skip_spikes=True))
    for number in range(10_000):
        one = ordinary(chance, number)
        assert monitor.judge(one.loss, one.gradient_norm) is None
        assert monitor.observe(one, (0, 8), 1000 * chance.uniform(0.7, 1.3), chance.uniform(0, 0.05)) == []


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_non_finite_loss_or_norm_is_never_accepted_and_its_rows_are_named(wrong: float) -> None:
    monitor = Monitor(HealthRules())
    assert monitor.judge(wrong, 1.0) == monitor.judge(1.0, wrong) == "non_finite"
    (alert,) = watch(monitor, [result(loss=wrong)])
    assert "rows 8 to 15" in alert.message


def test_a_loss_spike_is_told_once_an_episode() -> None:
    monitor = warm()
    alerts = watch(monitor, [result(5.0), result(5.0), result(2.0), result(5.0)])
    assert [alert.rule for alert in alerts] == ["loss_spike", "loss_spike"]
    assert "rows 8 to 15" in alerts[0].message


def test_a_spike_is_left_out_where_the_rules_say_so() -> None:
    assert warm(HealthRules(skip_spikes=True)).judge(5.0, 1.0) == "loss_spike"
    assert warm().judge(5.0, 1.0) is None


def test_a_gradient_outlier_is_told() -> None:
    assert [alert.rule for alert in watch(warm(), [result(norm=1e4)])] == ["gradient_outlier"]


def test_an_objective_without_targets_is_told_after_a_while() -> None:
    monitor = Monitor(HealthRules(dead_after=5))
    alerts = watch(monitor, [result(next_token=10.0, speaker=0.0)] * 20)
    assert [alert.rule for alert in alerts] == ["dead_objective"]
    assert "'speaker'" in alerts[0].message


def test_falling_speed_and_waiting_for_rows_are_told_when_they_last() -> None:
    monitor = warm()
    assert watch(monitor, [result()] * 9, speed=100.0) == []
    assert [alert.rule for alert in watch(monitor, [result()] * 9, speed=100.0)] == ["throughput"]
    assert [alert.rule for alert in watch(monitor, [result()] * 20, wait=0.5)] == ["data_wait"]


def test_a_disk_that_fills_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = MachineWatch(HealthRules(), tmp_path, World(torch.device("cpu")))
    free = 1 << 40
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": free})())
    assert machine.look() == []
    free = 1000
    assert [alert.rule for alert in machine.look()] == ["low_disk"]
    assert machine.look() == []


def test_a_hot_and_full_gpu_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = MachineWatch(HealthRules(disk_free=0), tmp_path, World(torch.device("cuda", 0)))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1, 100))
    monkeypatch.setattr(torch.cuda, "temperature", lambda device: 95)
    assert [alert.rule for alert in machine.look()] == ["device_memory", "device_hot"]


def test_memory_survives_a_restart() -> None:
    monitor = warm()
    restored = Monitor(HealthRules(skip_spikes=True), monitor.to_dict())
    assert restored.judge(5.0, 1.0) == "loss_spike"


class Poison:
    """Stands in for the objectives and turns the losses of some calls into something else."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, calls: set[int], factor: float) -> None:
        self.calls, self.factor, self.count = calls, factor, 0
        self._compute = objectives.compute
        monkeypatch.setattr(objectives, "compute", self)

    def __call__(self, *arguments: Any) -> Any:
        losses = self._compute(*arguments)
        self.count += torch.is_grad_enabled()  # evaluations are left alone
        if self.count not in self.calls or not torch.is_grad_enabled():
            return losses
        return {name: (loss * self.factor, count) for name, (loss, count) in losses.items()}


def alerts_of(job: Job) -> list[str]:
    return [event["rule"] for event in read_events(Path(job.run_directory) / EVENTS) if event["kind"] == "alert"]


@pytest.mark.parametrize("factor", [math.nan, math.inf])
def test_a_poisoned_step_changes_nothing_but_the_count(
    make_job: JobMaker, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    job = make_job(steps=3, checkpoint_every=1, evaluation_every=0, keep_last=5)
    Poison(monkeypatch, {2}, factor)
    report = train(job)
    before, after = (
        checkpoint.read_checkpoint(path) for path in checkpoint.list_checkpoints(Path(job.checkpoint_directory))[:2]
    )
    assert all(tensor.equal(after.model[name]) for name, tensor in before.model.items())
    assert all(tensor.equal(after.optimizer[name]) for name, tensor in before.optimizer.items())
    assert (report.status, report.skipped) == ("finished", 1)
    assert alerts_of(job) == ["non_finite"]


def test_too_many_poisoned_steps_stop_with_a_good_checkpoint(
    make_job: JobMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(steps=50, health=HealthRules(skips_in_a_row=3))
    Poison(monkeypatch, set(range(5, 99)), math.nan)
    with pytest.raises(NymphError, match="3 steps in a row had to be skipped"):
        train(job)
    latest = checkpoint.list_checkpoints(Path(job.checkpoint_directory))[-1]
    assert all(bool(tensor.isfinite().all()) for tensor in load_tensors(latest / "model.safetensors").values())
    monkeypatch.undo()
    assert train(replace(job, steps=10)).steps == 10


def test_inf_hidden_where_no_loss_shows_it_is_found_and_never_saved(
    make_job: JobMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(steps=50, checkpoint_every=3, evaluation_every=0, asynchronous_checkpoints=False)
    job = replace(job, health=HealthRules(state_every=7))
    compute = objectives.compute

    def spoil(model: MultimodalModel, *rest: Any) -> Any:
        if len(list(Path(job.checkpoint_directory).glob("step-*"))) == 1:
            model.autoencoder_head.bias.data[0] = math.inf  # no part of the multimodal loss
        return compute(model, *rest)

    monkeypatch.setattr(objectives, "compute", spoil)
    with pytest.raises(NymphError, match=r"NaN or Inf in 'autoencoder_head\.bias'"):
        train(job)
    saved = checkpoint.list_checkpoints(Path(job.checkpoint_directory))
    assert [path.name for path in saved] == ["step-00000003"]


def test_a_batch_without_any_target_is_skipped_not_nan(make_job: JobMaker) -> None:
    objectives = replace(make_job().objectives, next_token=0.0, next_audio=0.0, masked_modality=0.0, label_share=0.0)
    model_config = replace(make_job().model, modality_dropout=0.0)
    job = make_job(steps=3, objectives=objectives, model=model_config, health=HealthRules(dead_after=2))
    report = train(job)
    assert (report.status, report.skipped) == ("finished", 3)
    model = MultimodalModel.from_pretrained(str(report.checkpoint))
    assert all(bool(parameter.isfinite().all()) for parameter in model.parameters())
    assert "dead_objective" in alerts_of(job)
