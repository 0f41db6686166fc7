"""What learns where each rank has one stage of the model; checkpoints are those of the whole model.

Rank 0 collects the other stages tensor by tensor for each checkpoint, in host memory, and writes it before training
goes on: a second copy of a model that fits no single card would be too much to keep ready.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from nymph.errors import NymphError
from nymph.model.multimodal import MultimodalModel
from nymph.training.checkpoint import read_checkpoint
from nymph.training.job import Job
from nymph.training.learner import Learner, copy_of
from nymph.training.optimisation import MOMENTS, build_optimizer, check_fits, is_frozen, optimizer_tensors
from nymph.training.piped import StagedObjectives, StagedStepper
from nymph.training.precision import choose_precision
from nymph.training.stages import cut, holders, names_and_shapes
from nymph.training.state import TrainingState
from nymph.training.world import World


class StagedLearner(Learner):
    """One rank's stage, its optimizer, and the way all stages make an update together.

    Raises:
        NymphError: There are more or fewer ranks than stages, or half precision with a scaler is asked for.
    """

    def __init__(self, job: Job, world: World, state: TrainingState, checkpoint: Path | None = None) -> None:
        self._world, self._job, self._stages = world, job, job.launch.stages
        if world.size != len(self._stages):
            raise NymphError(f"launch.stages names {len(self._stages)} stages, there are {world.size} ranks")
        self._shapes = names_and_shapes(job.model)
        torch.manual_seed(job.seed)
        self.model = cut(job.model, self._stages, world.rank).to(world.device).train()
        self.model.checkpoint_blocks(job.gradient_checkpointing, job.offload_activations)
        self.optimizer = build_optimizer(self.model, job.optimiser, list(self._shapes))
        if checkpoint:
            self.load(checkpoint)
        self.precision = choose_precision(job.precision, world, state.precision)
        if self.precision == "fp16":
            raise NymphError("fp16 cannot be used with launch.stages; set precision to fp32 or bf16")
        objectives = StagedObjectives(self.model, job.objectives, world.rank, world.size)
        self.stepper = StagedStepper(objectives, self.optimizer, world, self.precision, job.clip, job.launch)
        self.stepper.prepare(job.model, self._stages)

    @property
    def parameters(self) -> int:
        """How many numbers the whole model has."""
        return sum(shape.numel() for shape in self._shapes.values())

    def tensors_to_save(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """On rank 0 the tensors of all stages; every rank must call it."""
        return self._collect("model"), self._collect("optimizer")

    def whole_model(self) -> MultimodalModel | None:
        tensors = self._collect("model")
        return copy_of(self._job.model, tensors) if self._world.main else None

    def load(self, checkpoint: Path) -> None:
        """Take over what this stage needs of a checkpoint. Rank 0 reads it; the others need not see its disk."""
        saved: dict[str, Tensor] = {}
        if self._world.main:
            snapshot = read_checkpoint(checkpoint)
            saved = {**snapshot.model, **snapshot.optimizer}
            check_fits({name: torch.empty(shape, device="meta") for name, shape, _, _ in self._all()}, saved)
        mine = self._mine()
        with torch.no_grad():
            for name, shape, _, _ in self._all():
                value = saved[name].to(self.device) if self._world.main else torch.empty(shape, device=self.device)
                dist.broadcast(value, 0)
                if name in mine:
                    mine[name].copy_(value)

    def average(self) -> None:
        """Nothing to do: stages are always together."""

    def gather(self) -> None:
        """Send this stage to rank 0."""
        self.tensors_to_save()

    def _collect(self, wanted: str) -> dict[str, Tensor]:
        """The tensors of a group, of all stages, on rank 0."""
        mine, collected = self._mine(), dict[str, Tensor]()
        for name, shape, holder, group in self._all():
            if group != wanted:
                continue
            value = mine[name].detach() if name in mine else torch.empty(shape, device=self.device)
            if self._world.main and holder:
                dist.recv(value, holder)
            elif holder == self._world.rank and holder:
                dist.send(value.contiguous(), 0)
            if self._world.main:
                collected[name] = value.cpu()
        return collected

    def _mine(self) -> dict[str, Tensor]:
        return {**self.model.state_dict(), **optimizer_tensors(self.model, self.optimizer)}

    def _all(self) -> Iterator[tuple[str, torch.Size, int, str]]:
        """Name, shape and first holder of every tensor of a checkpoint, in the same order on every rank."""
        for name, shape in self._shapes.items():
            holder = holders(self._job.model, self._stages, name)[0]
            yield name, shape, holder, "model"
            if not is_frozen(name, self._job.optimiser):
                for moment in MOMENTS:
                    yield f"{name}.{moment}", shape if moment != "step" else torch.Size(), holder, "optimizer"
