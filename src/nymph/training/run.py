"""One run in flight: the model, its optimizer, the rows, the log, and what happens between two steps."""

import math
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from nymph.errors import NymphError
from nymph.flight.source import RowSource, open_source
from nymph.model.multimodal import MultimodalModel
from nymph.training.checkpoint import read_checkpoint
from nymph.training.console import Progress
from nymph.training.data import StepReader, StepRows
from nymph.training.devices import check_compile, memory_bytes, pick_precision
from nymph.training.evaluation import evaluate
from nymph.training.events import EventLog
from nymph.training.health import MachineWatch, Monitor
from nymph.training.job import Job
from nymph.training.optimisation import (
    build_optimizer,
    load_optimizer_tensors,
    non_finite,
    optimizer_tensors,
    set_learning_rate,
)
from nymph.training.resume import checkpoint_config
from nymph.training.saving import Saved, Saver
from nymph.training.schedule import learning_rate_factor
from nymph.training.signals import Requests
from nymph.training.state import TrainingState
from nymph.training.step import Stepper, StepResult
from nymph.training.world import World

SMALLER_BATCHES = 4
"""Times a step is tried, each after the first with micro-batches of half the rows."""


class Run:
    """Everything that trains, put together from a job and a beginning."""

    def __init__(
        self,
        job: Job,
        world: World,
        source: RowSource,
        state: TrainingState,
        checkpoint: Path | None,
        log: EventLog | None,
        progress: Progress,
        requests: Requests,
    ) -> None:
        self.job, self.world, self.state = job, world, state
        self._log, self._progress, self._requests = log, progress, requests
        self.last_checkpoint = checkpoint
        self._saved_step = state.step if checkpoint else -1
        self.model = self._build_model()
        self.optimizer = build_optimizer(self.model, job.optimiser)
        if checkpoint:
            self._restore(checkpoint)
        self._precision = pick_precision(job.precision, world.device)
        self._stepper = Stepper(
            self.model, job.objectives, self.optimizer, world, self._precision, job.clip, job.launch.compression
        )
        if state.scaler:
            self._stepper.scaler.load_state_dict(state.scaler)
        self._monitor = Monitor(job.health, state.monitor)
        self._watch = MachineWatch(job.health, Path(job.checkpoint_directory), world.device)
        self._validation = open_source(job.validation_rows, **job.connection) if job.validation_rows else None
        self._source = source
        self._pieces = job.gradient_accumulation
        self._reader = self._open_reader()
        self._saver = self._open_saver() if world.main else None
        self._failed_save = ""
        self._started = time.perf_counter() - state.seconds

    def to_the_end(self) -> str:
        """Train until there is a reason to end; the status for the report."""
        self._announce()
        try:
            status, reason = self._steps()
        except BaseException as error:
            self._on_error(error)
            raise
        self._save()
        if failure := self._wait_for_saver():
            self._end("failed", failure)
            raise NymphError(f"{status}, but the last checkpoint is missing: {failure}")
        self._end(status, reason)
        return status

    def alert(self, rule: str, message: str) -> None:
        """Tell the log and the user."""
        self._event("alert", step=self.state.step, rule=rule, message=message)
        self._progress.message(f"alert: {rule}: {message}")

    def _steps(self) -> tuple[str, str]:
        if self.state.step == 0:
            self._evaluate()
        while True:
            if ending := self._ending():
                return ending
            self._step()
            self._between()

    def _step(self) -> None:
        state, begin = self.state, time.perf_counter()
        factor = learning_rate_factor(self.job.schedule, state.step, self.job.steps)
        rate = set_learning_rate(self.optimizer, factor)
        rows, waited, result = self._update()
        state.step += 1
        state.cursor, state.validation_loss = rows.stop, None
        state.tokens += result.tokens
        seconds = time.perf_counter() - begin
        state.seconds = time.perf_counter() - self._started
        self._remember(result)
        speed = result.tokens / seconds
        if state.step % self.job.log_every == 0 or state.step == self.job.steps:
            self._log_step(result, rate, speed, waited / seconds)
        self._check_health(result, (rows.start, rows.stop), speed, waited / seconds)

    def _update(self) -> tuple[StepRows, float, StepResult]:
        """Train on the next rows; where memory runs out, on the same rows in smaller micro-batches."""
        for _ in range(SMALLER_BATCHES):
            rows, waited = self._reader.next()
            torch.manual_seed(self.job.seed + self.state.step)
            try:
                return rows, waited, self._stepper(rows, self._monitor.judge)
            except torch.OutOfMemoryError as error:
                largest = max(len(micro.batch["tokens"]) for micro in rows.micro)
                if self.world.size > 1 or largest == 1:
                    raise NymphError(f"out of memory with micro-batches of {largest} rows: {error}") from None
                self._shrink(largest)
        raise NymphError(f"out of memory {SMALLER_BATCHES} times in a row; lower batch_rows or context_length")

    def _shrink(self, largest: int) -> None:
        """Begin the step again with twice as many micro-batches."""
        self.optimizer.zero_grad(set_to_none=True)
        if self.world.device.type == "cuda":
            torch.cuda.empty_cache()
        self._pieces *= 2
        self._reader.close()
        self._reader = self._open_reader()
        self.alert(
            "out_of_memory", f"{largest} rows at once do not fit: {self._pieces} micro-batches a step from here on"
        )

    def _remember(self, result: StepResult) -> None:
        state = self.state
        if state.first_training_loss is None and math.isfinite(result.loss):
            state.first_training_loss = result.loss
        if math.isfinite(result.loss):
            state.last_training_loss = result.loss
        state.skipped += result.skipped is not None
        state.skipped_in_a_row = state.skipped_in_a_row + 1 if result.skipped else 0

    def _check_health(self, result: StepResult, rows: tuple[int, int], speed: float, wait: float) -> None:
        alerts = self._monitor.observe(result, rows, speed, wait)
        if self.state.step % self.job.health.state_every == 0:
            alerts += self._watch.look()
            self._refuse_hidden_damage()
        for alert in alerts:
            self.alert(alert.rule, alert.message)
        if (skipped := self.state.skipped_in_a_row) >= self.job.health.skips_in_a_row:
            self.state.skipped_in_a_row = 0  # whoever continues has looked into it
            raise NymphError(
                f"{skipped} steps in a row had to be skipped ({result.skipped}); "
                "lower the learning rate, or look at the rows the alerts name"
            )

    def _refuse_hidden_damage(self) -> None:
        tensors = {**self.model.state_dict(), **optimizer_tensors(self.model, self.optimizer)}
        if names := non_finite(tensors):
            self._saved_step = self.state.step  # this state must never become a checkpoint
            raise NymphError(
                f"NaN or Inf in {names[0]!r} and {len(names) - 1} more tensors at step {self.state.step}; "
                f"continue from {self.last_checkpoint} with a lower learning rate or clip"
            )

    def _between(self) -> None:
        """Evaluate and save where it is time to."""
        step, job = self.state.step, self.job
        better = self._evaluate() if _due(step, job.evaluation_every, job.steps) else False
        requested, self._requests.checkpoint = self._requests.checkpoint, False
        if better or requested or (job.checkpoint_every and step % job.checkpoint_every == 0):
            self._save(best=better)
        if self._failed_save:
            self.alert("checkpoint", self._failed_save)
            self._failed_save = ""

    def _ending(self) -> tuple[str, str] | None:
        """Status and reason where training must end now. Ranks agree, or one would wait for the others for ever."""
        state, job = self.state, self.job
        asked, late = self.world.sum(
            [
                float(self._requests.end is not None),
                float(bool(job.max_seconds) and state.seconds >= job.max_seconds),
            ]
        )
        if state.step >= job.steps:
            return "finished", f"all {job.steps} steps"
        if asked:
            return "killed", f"signal {self._requests.end or ''}".strip()
        if late:
            return "stopped", f"max_seconds {job.max_seconds} reached"
        if job.max_tokens and state.tokens >= job.max_tokens:
            return "stopped", f"max_tokens {job.max_tokens} reached"
        if job.patience and state.evaluations_without_gain >= job.patience:
            state.finished = f"no better validation loss in {job.patience} evaluations"
            return "stopped", state.finished
        return None

    def _evaluate(self) -> bool:
        """Log the validation loss; whether it is a new best."""
        if self._validation is None:
            return False
        job = self.job
        rows = max(1, job.batch_rows // (self.world.size * job.gradient_accumulation))
        found = evaluate(
            self.model, self._validation, job.objectives, self.world, rows, job.evaluation_rows, self._precision
        )
        better = self.state.evaluated(found.loss)
        self._event(
            "evaluation",
            step=self.state.step,
            split="validation",
            loss=found.loss,
            losses=found.losses,
            accuracy=found.accuracy,
            perplexity=found.perplexity,
        )
        self._progress.message(f"step {self.state.step}: validation loss {found.loss:.4f}{' (best)' if better else ''}")
        return better and self.state.step > 0

    def _save(self, best: bool = False) -> None:
        if self._saved_step == self.state.step:
            return
        self._saved_step = self.state.step
        self.state.scaler = dict(self._stepper.scaler.state_dict())
        self.state.monitor = self._monitor.to_dict()
        if self._saver is not None:
            self._saver.save(self.state.to_dict(), checkpoint_config(self.job.model), best)

    def _on_saved(self, saved: Saved) -> None:
        if saved.path is None:
            self._failed_save = f"step {saved.step} could not be saved: {saved.error}"
            return
        self.last_checkpoint = saved.path
        self._event(
            "checkpoint",
            step=saved.step,
            path=str(saved.path),
            bytes=saved.bytes,
            seconds=saved.seconds,
            best=saved.best,
        )

    def _on_error(self, error: BaseException) -> None:
        """Save what is consistent, and say how it ended."""
        if not self._stepper.updating and self.state.step > 0:
            self._save()
        self._wait_for_saver()
        self._end("failed", f"{type(error).__name__}: {error}")

    def _wait_for_saver(self) -> str:
        """Why the last checkpoint could not be written, or an empty string."""
        if self._saver is not None:
            self._saver.wait()
        if self._failed_save:
            self.alert("checkpoint", self._failed_save)
        return self._failed_save

    def _announce(self) -> None:
        job, state = self.job, self.state
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        self._event(
            "start",
            run=job.run,
            step=state.step,
            total_steps=job.steps,
            parameters=parameters,
            device=str(self.world.device),
            world=self.world.size,
            tokens_per_step=job.batch_rows * job.model.context_length,
            job=job.to_dict(),
        )
        if self.last_checkpoint:
            self._event("resume", step=state.step, checkpoint=str(self.last_checkpoint))
        text = f"{parameters:,} parameters on {self.world.size} x {self.world.device} in {self._precision}"
        self._progress.start(state.step, job.steps, f"{job.run}: {text}, from step {state.step} to {job.steps}")

    def _end(self, status: str, reason: str) -> None:
        self._event("end", status=status, step=self.state.step, reason=reason)
        self._progress.end(f"{status} at step {self.state.step}: {reason}")

    def _log_step(self, result: StepResult, rate: float, speed: float, wait: float) -> None:
        event = self._event(
            "step",
            step=self.state.step,
            loss=result.loss,
            losses=result.losses,
            learning_rate=rate,
            gradient_norm=result.gradient_norm,
            tokens=self.state.tokens,
            tokens_per_second=speed,
            data_wait=wait,
            memory_bytes=memory_bytes(self.world.device),
        )
        if event:
            self._progress.step(event)

    def _event(self, kind: str, **fields: Any) -> dict[str, Any] | None:
        return self._log.write(kind, **fields) if self._log else None

    def _build_model(self) -> MultimodalModel:
        torch.manual_seed(self.job.seed)
        model = MultimodalModel(self.job.model).to(self.world.device)
        model.checkpoint_blocks(self.job.gradient_checkpointing)
        if self.job.compile:
            check_compile(self.world.device)
            for block in model.transformer.blocks:
                block.compile()
        return model.train()

    def _restore(self, checkpoint: Path) -> None:
        """Rank 0 reads the checkpoint; the others need not see its disk."""
        optimizer = optimizer_tensors(self.model, self.optimizer)
        if self.world.main:
            snapshot = read_checkpoint(checkpoint)
            self.model.load_state_dict(dict(snapshot.model))
            load_optimizer_tensors(self.model, self.optimizer, snapshot.optimizer)
        self.world.share_tensors({**self.model.state_dict(), **optimizer})

    def _open_reader(self) -> StepReader:
        pin = self.world.device.type == "cuda"
        world = self.world
        return StepReader(self._source, self.job, self.state.cursor, world.rank, world.size, self._pieces, pin)

    def _open_saver(self) -> Saver:
        def tensors() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
            return dict(self.model.state_dict()), optimizer_tensors(self.model, self.optimizer)

        job = self.job
        return Saver(
            Path(job.checkpoint_directory), job.keep_last, tensors, self._on_saved, job.asynchronous_checkpoints
        )

    def __enter__(self) -> "Run":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.close()
        self._source.close()
        if self._validation is not None:
            self._validation.close()


def _due(step: int, every: int, last: int) -> bool:
    return step == last or bool(every and step % every == 0)
