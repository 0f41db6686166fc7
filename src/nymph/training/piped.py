"""Training a model whose stages are on different ranks: micro-batches pass through them one behind the other (1F1B).

torch's schedule (`torch.distributed.pipelining`) moves features forward and their gradients back. Every rank reads the
same rows, so only features [B, T, D] travel: what the schedule cuts up is the numbers of the micro-batches, because a
batch of flat patches cannot be cut by rows. Micro-batches must be equally large and at least as many as stages;
with m of them, s stages stand still for (s - 1) / (m + s - 1) of a step.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage, Schedule1F1B

from nymph.model.config import ModelConfig, ObjectiveConfig
from nymph.model.masking import draw_masks
from nymph.model.multimodal import MultimodalModel
from nymph.model.objectives import Sum, compute
from nymph.sequences.collation import Batch
from nymph.training.data import MicroBatch, StepRows
from nymph.training.devices import autocast
from nymph.training.objectives import Objectives
from nymph.training.stages import FEATURES, holders
from nymph.training.step import Stepper


class StagedObjectives(Objectives):
    """One rank's stage and, on the last one, what it is taught."""

    def __init__(self, model: MultimodalModel, config: ObjectiveConfig, rank: int, stages: int) -> None:
        super().__init__(model, config)
        self.rank, self.first, self.last = rank, rank == 0, rank == stages - 1

    def features(self, batch: Mapping[str, Tensor], seed: int) -> Tensor:
        """What the next stage takes, [B, T, D]."""
        if not self.first:
            return self.model(batch)  # type: ignore[no-any-return]
        dropout = self.model.config.modality_dropout if self.model.training else 0.0
        masks = draw_masks(batch["document"], self.config, dropout, torch.Generator().manual_seed(seed))
        return self.model(batch, masks)  # type: ignore[no-any-return]

    def losses(self, batch: Mapping[str, Tensor], seed: int) -> dict[str, Sum]:
        """Of the last stage."""
        return compute(self.model, batch, self.config, torch.Generator().manual_seed(seed))

    def forward(self, batch: Mapping[str, Tensor], seed: int, hide: frozenset[str] = frozenset()) -> dict[str, Sum]:
        """Losses without gradients, on the last rank; the others get none. Every rank must call it."""
        if not self.first:
            received = torch.empty(*batch["tokens"].shape, self.model.config.width, device=batch["tokens"].device)
            dist.recv(received, self.rank - 1)
            batch = {**batch, FEATURES: received}
        if self.last:
            return self.losses(batch, seed)
        dist.send(self.features(batch, seed).float().contiguous(), self.rank + 1)
        return {}


class _Turn(nn.Module):
    """A stage as the schedule calls it: with the number of a micro-batch, and features but on the first one."""

    def __init__(self, objectives: StagedObjectives, weights: Mapping[str, float]) -> None:
        super().__init__()
        self._objectives, self._weights = objectives, weights
        self.batches: list[tuple[Mapping[str, Tensor], int]] = []
        self.divisors: Mapping[str, float] = {}
        self.sums: list[Tensor] = []

    def forward(self, given: Tensor, number: Tensor) -> Tensor:
        batch, seed = self.batches[int(number)]
        batch = batch if self._objectives.first else {**batch, FEATURES: given}
        if not self._objectives.last:
            return self._objectives.features(batch, seed).float()
        found = self._objectives.losses(batch, seed)
        losses = torch.stack([found[name][0] for name in self._weights])
        self.sums.append(losses.detach())
        shares = [self._weights[name] / count if count else 0.0 for name, count in self.divisors.items()]
        nothing = 0.0 * given.sum()  # a gradient to send back even where there is no target
        return ((losses * losses.new_tensor(shares)).sum() + nothing).reshape(1)


class StagedStepper(Stepper):
    """Makes updates of a model in stages."""

    objectives: StagedObjectives

    def prepare(self, model: ModelConfig, stages: Sequence[int]) -> "StagedStepper":
        """Say which stages there are, and on which ranks each parameter is; every rank must call it."""
        self._config, self._stages = model, stages
        self._turn = _Turn(self.objectives, self._weights)
        self._ends = dist.new_group([0, len(stages) - 1])
        return self

    def rehearse(self, batch: Batch, pieces: int) -> None:
        """Every rank must call it."""
        micro = MicroBatch(batch, seed=0, targets={})
        some = min(pieces, len(self._stages))  # so many are in memory at once, however many there are
        self._backward(StepRows(0, 0, (micro,) * some), dict.fromkeys(self._weights, 1.0))

    def _global_targets(self, mine: Mapping[str, float], rows: StepRows) -> tuple[dict[str, float], int]:
        if not self.objectives.last:  # every rank has read them
            mine, rows = dict.fromkeys(mine, 0.0), rows._replace(micro=())
        return super()._global_targets(mine, rows)

    def _backward(self, rows: StepRows, targets: Mapping[str, float]) -> Tensor:
        turn, device = self._turn, self._world.device
        turn.batches = [({n: t.to(device) for n, t in micro.batch.items()}, micro.seed) for micro in rows.micro]
        turn.divisors, turn.sums = targets, []
        numbers = torch.arange(len(rows.micro), device=device)
        first = (numbers,) if self.objectives.first else ()
        last: dict[str, Any] = {"target": numbers} if self.objectives.last else {}
        try:
            with autocast(self._precision, device):
                self._schedule(rows).step(*first, **last, number=numbers)
        except RuntimeError as error:  # the schedule wraps what a stage has met, which may be that memory ran out
            raise (error.__cause__ or error) from None
        self._sum_tied()
        return torch.stack(turn.sums).sum(0) if turn.sums else torch.zeros(len(targets), device=device)

    def _schedule(self, rows: StepRows) -> Schedule1F1B:
        batch = rows.micro[0].batch["tokens"].shape
        # torch from 2.13 on sends a gradient back only where these ask for one
        features = torch.empty(*batch, self._config.width, device="meta", requires_grad=True)
        loss = torch.empty(1, device="meta", requires_grad=True)
        number = torch.empty(1, dtype=torch.int64, device="meta")
        stage = PipelineStage(
            self._turn,
            self.objectives.rank,
            len(self._stages),
            self._world.device,
            input_args=(number if self.objectives.first else features,),
            output_args=(loss if self.objectives.last else features,),
        )
        return Schedule1F1B(stage, len(rows.micro), loss_fn=lambda loss, _: loss.sum(), scale_grads=False)

    def _sum_tied(self) -> None:
        """A tied embedding is used at both ends: give both copies the whole gradient."""
        ends = (0, len(self._stages) - 1)
        for name, parameter in self.objectives.model.named_parameters():
            if parameter.requires_grad and holders(self._config, self._stages, name) == ends and ends[1]:
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                dist.all_reduce(parameter.grad, group=self._ends)

    def _norm(self) -> float:
        """Of all stages, each parameter counted once; clips this stage by it."""
        mine = [
            parameter.grad
            for name, parameter in self.objectives.model.named_parameters()
            if parameter.grad is not None and holders(self._config, self._stages, name)[0] == self.objectives.rank
        ]
        squares = float(torch.nn.utils.get_total_norm(mine)) ** 2 if mine else 0.0
        norm = self._world.sum([squares])[0] ** 0.5
        torch.nn.utils.clip_grads_with_norm_(
            self._parameters, self._clip, torch.tensor(norm, device=self._world.device)
        )
        return norm
