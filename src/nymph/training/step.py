"""One optimiser update: forward and backward of every micro-batch, one gradient, one decision whether to use it.

Losses are divided by target counts over all micro-batches and ranks before the backward pass, so that accumulation,
ranks and uneven batches give the gradient of one big batch. Every rank takes the same decision from the same numbers.
The cost of being able to leave an update out is one synchronisation with the device a step.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from nymph.sequences.collation import Batch
from nymph.training.data import MicroBatch, StepRows
from nymph.training.devices import autocast
from nymph.training.job import Launch
from nymph.training.objectives import Objectives
from nymph.training.sharding import delay_exchange, whole
from nymph.training.world import World

Accept = Callable[[float, float], str | None]
"""From loss and gradient norm to the reason for leaving the update out, or None."""


@dataclass(frozen=True)
class StepResult:
    """What one update was."""

    loss: float
    """Weighted sum of the objectives' mean losses; NaN where there was no target at all."""
    losses: dict[str, float]
    """Mean loss of each objective that had targets, unweighted."""
    targets: dict[str, float]
    """Targets of each objective over all ranks."""
    gradient_norm: float
    tokens: int
    """Positions but padding over all ranks."""
    skipped: str | None
    """Why the update was left out."""


class Stepper:
    """Makes updates of one model."""

    def __init__(
        self,
        objectives: Objectives,
        optimizer: torch.optim.Optimizer,
        world: World,
        precision: str = "fp32",
        clip: float = 1.0,
        launch: Launch | None = None,
    ) -> None:
        launch = launch or Launch()
        self.optimizer, self._world, self._precision = optimizer, world, precision
        self.objectives, self._weights = objectives, objectives.config.weights()
        self._clip = clip or math.inf
        self._parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self.scaler = torch.amp.grad_scaler.GradScaler(world.device.type, enabled=precision == "fp16")
        self._apart = launch.synchronise_every > 1 and world.size > 1
        self.losses: nn.Module = _wrapped(objectives, world, launch)
        self.updating = False
        """True while the update itself runs: weights are then neither of the step before nor of this one."""
        self._spare: MicroBatch | None = None

    def __call__(self, rows: StepRows, accept: Accept) -> StepResult:
        """Train on one step's rows. `accept` is asked after the backward pass, with the global loss and norm."""
        mine = self._targets(rows)
        targets, tokens = self._global_targets(mine, rows)
        sums = self._backward(rows, mine if self._apart else targets)
        self.objectives.drop_unused(self._world)
        self.scaler.unscale_(self.optimizer) if self.scaler.is_enabled() else None
        norm = self._norm()
        *numbers, squares = self._world.sum([*sums.tolist(), norm**2])
        norm = math.sqrt(squares / self._world.size) if self._apart else norm
        losses = {name: s / targets[name] for name, s in zip(targets, numbers, strict=True) if targets[name]}
        loss = sum(self._weights[name] * value for name, value in losses.items()) if losses else math.nan
        reason = self._update(loss, norm, accept)
        self.optimizer.zero_grad(set_to_none=True)
        return StepResult(loss, losses, targets, norm, tokens, reason)

    def rehearse(self, batch: Batch, pieces: int) -> None:
        """Forward and backward pass of `pieces` micro-batches like this; the caller drops the gradients.

        Without the other ranks, unless these hold parts of the model: then every rank must call it.
        """
        self.objectives.padding, shards = True, isinstance(self.losses, FSDPModule)
        for piece in range(min(pieces, 2)):  # the second one finds the gradients of the first in memory
            with self._synchronised(shards and piece == min(pieces, 2) - 1):
                torch.stack(list(self._losses(batch, seed=0).values())).sum().backward()

    def _targets(self, rows: StepRows) -> dict[str, float]:
        return {name: sum(micro.targets[name] for micro in rows.micro) for name in self._weights}

    def _global_targets(self, mine: Mapping[str, float], rows: StepRows) -> tuple[dict[str, float], int]:
        tokens = float(sum(int((micro.batch["document"] > 0).sum()) for micro in rows.micro))
        *counts, total = self._world.sum([*mine.values(), tokens])
        return dict(zip(mine, counts, strict=True)), int(total)

    def _backward(self, rows: StepRows, targets: Mapping[str, float]) -> Tensor:
        """Accumulate gradients; the sums of losses of this rank, in the order of `targets`."""
        sums = torch.zeros(len(targets), device=self._world.device)
        micro = (*rows.micro, *self._padding(rows.micro))
        ranks = self._world.size if isinstance(self.losses, DistributedDataParallel) else 1  # that takes the mean
        for index, part in enumerate(micro):
            self.objectives.padding = index >= len(rows.micro)
            share = float(not self.objectives.padding)
            with self._synchronised(index == len(micro) - 1):
                losses = self._losses(part.batch, part.seed)
                total = self._weighted(losses, targets) * (share * ranks)
                self.scaler.scale(total).backward()
            sums += share * torch.stack([losses[name].detach() for name in targets])
        self._spare = micro[-1]
        return sums

    def _norm(self) -> float:
        """Clips the gradients by it."""
        return float(whole(torch.nn.utils.clip_grad_norm_(self._parameters, self._clip)))

    def _losses(self, batch: Batch, seed: int) -> dict[str, Tensor]:
        batch = {name: tensor.to(self._world.device, non_blocking=True) for name, tensor in batch.items()}
        with autocast(self._precision, self._world.device):
            found = self.losses(batch, seed)
        return {name: found[name][0] for name in self._weights}

    def _padding(self, mine: tuple[MicroBatch, ...]) -> tuple[MicroBatch, ...]:
        """Rows to multiply by zero on a rank without any: gradients are exchanged only in a backward pass, and shards
        are gathered in each."""
        shards = isinstance(self.losses, FSDPModule)
        missing = (self._world.largest(len(mine)) if shards else 1) - len(mine)
        spare = mine[-1] if mine else self._spare
        if spare is None:
            raise AssertionError("the first step has rows for every rank")
        return (spare,) * missing

    def _weighted(self, losses: Mapping[str, Tensor], targets: Mapping[str, float]) -> Tensor:
        """Weighted mean losses. An objective without targets is multiplied by zero, so that its part of the graph
        still takes part in the exchange of gradients."""
        return torch.stack(
            [losses[name] * (self._weights[name] / targets[name] if targets[name] else 0.0) for name in targets]
        ).sum()

    def _update(self, loss: float, norm: float, accept: Accept) -> str | None:
        reason = accept(loss, norm)
        self.updating = True
        if reason is None:
            self.scaler.step(self.optimizer)
        if self.scaler.is_enabled():
            self.scaler.update()
        self.updating = False
        return reason

    def _synchronised(self, last: bool) -> AbstractContextManager[None]:
        delay_exchange(self.losses, last)
        if last or not isinstance(self.losses, DistributedDataParallel):
            return nullcontext()
        return self.losses.no_sync()


def _wrapped(objectives: Objectives, world: World, launch: Launch) -> nn.Module:
    """The module to call: with several ranks one that exchanges gradients while the backward pass still runs."""
    if world.size == 1 or isinstance(objectives, FSDPModule) or launch.stages or launch.synchronise_every > 1:
        return objectives
    wrapped = DistributedDataParallel(
        objectives, find_unused_parameters=True, broadcast_buffers=False, gradient_as_bucket_view=True
    )
    if launch.compression != "none":
        wrapped.register_comm_hook(
            None, {"fp16": default_hooks.fp16_compress_hook, "bf16": _in_bf16}[launch.compression]
        )
    return wrapped


def _in_bf16(state: Any, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:  # type: ignore[name-defined]
    """Torch's own hook; by its name builds without CUDA refuse it, although gloo can."""
    return default_hooks.bf16_compress_hook(state, bucket)
