"""What learns, on one rank: the model, its optimizer, and the way an update is made."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from nymph.errors import NymphError
from nymph.model.config import ModelConfig
from nymph.model.multimodal import MultimodalModel
from nymph.training.averaging import Averaging
from nymph.training.checkpoint import read_checkpoint
from nymph.training.devices import check_compile
from nymph.training.job import Job
from nymph.training.objectives import Objectives, ShardedObjectives
from nymph.training.optimisation import (
    build_optimizer,
    check_fits,
    load_optimizer_tensors,
    non_finite,
    optimizer_tensors,
)
from nymph.training.precision import choose_precision
from nymph.training.sharding import deal, part, shard, whole
from nymph.training.state import TrainingState
from nymph.training.step import Stepper
from nymph.training.world import World


class Learner:
    """Built from a job and, where there is one, a checkpoint; `state` says what the run remembers."""

    def __init__(self, job: Job, world: World, state: TrainingState, checkpoint: Path | None = None) -> None:
        self._world = world
        self._sharded = world.size > 1 and job.launch.sharding != "none"
        self.model = build_model(job, torch.device("cpu") if self._sharded else world.device)
        objectives = (ShardedObjectives if self._sharded else Objectives)(self.model, job.objectives)
        if self._sharded:
            shard(objectives, self.model, world.device, full=job.launch.sharding == "full")
        self.optimizer = build_optimizer(self.model, job.optimiser)
        if checkpoint:
            self.load(checkpoint)
        self.precision = choose_precision(job.precision, world, state.precision)
        if self._sharded and self.precision == "fp16":
            raise NymphError("fp16 cannot be used with launch.sharding; set precision to fp32 or bf16")
        self.stepper = Stepper(objectives, self.optimizer, world, self.precision, job.clip, job.launch)
        self._average: Averaging | None = None
        if world.size > 1 and job.launch.synchronise_every > 1:
            moments = [t for t in optimizer_tensors(self.model, self.optimizer).values() if t.ndim]
            self._average = Averaging([*self.model.parameters(), *moments], world, job.launch.shares)
        if state.scaler:
            self.stepper.scaler.load_state_dict(state.scaler)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._world.device

    @property
    def parameters(self) -> int:
        """How many numbers the model has."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def tensors(self) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """The live tensors of the model and of the optimizer, by name."""
        return dict(self.model.state_dict()), optimizer_tensors(self.model, self.optimizer)

    def tensors_to_save(self) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """What a checkpoint is made of, on rank 0."""
        return self.tensors()

    def whole_model(self) -> MultimodalModel | None:
        """The whole model on rank 0; where ranks hold parts a copy in host memory, and every rank must call it."""
        if not self._sharded:
            return self.model if self._world.main else None
        tensors = {name: whole(tensor.detach()) for name, tensor in self.model.state_dict().items()}
        return copy_of(self.model.config, tensors) if self._world.main else None

    def load(self, checkpoint: Path) -> None:
        """Take over a checkpoint's tensors. Rank 0 reads it; the others need not see its disk."""
        if self._world.size == 1:
            snapshot = read_checkpoint(checkpoint)
            self.model.load_state_dict(dict(snapshot.model))
            load_optimizer_tensors(self.model, self.optimizer, snapshot.optimizer)
            return
        model, optimizer = self.tensors()
        saved = read_whole(checkpoint, model, optimizer) if self._world.main else {}
        with torch.no_grad():
            for name, tensor in {**model, **optimizer}.items():
                deal(tensor, saved.get(name))

    def average(self) -> None:
        """Bring ranks that train apart (`launch.synchronise_every`) to the same weights; every rank must call it."""
        if self._average:
            self._average()

    def gather(self) -> None:
        """Take part in rank 0's copying of the shards; rank 0 itself copies (`nymph.training.saving`)."""
        if self._sharded:
            for tensors in self.tensors():
                for tensor in tensors.values():
                    whole(tensor)

    def check_finite(self) -> None:
        """NymphError where NaN or Inf hides in weights or optimizer state, where no loss shows it."""
        model, optimizer = self.tensors()
        names = non_finite({name: part(tensor) for name, tensor in {**model, **optimizer}.items()})
        ranks = self._world.sum([float(bool(names))])[0]
        if names:
            raise NymphError(f"NaN or Inf in {names[0]!r} and {len(names) - 1} more tensors")
        if ranks:
            raise NymphError("NaN or Inf in another rank's tensors")


def build_model(job: Job, device: torch.device) -> MultimodalModel:
    """The job's model with its initial weights, ready to train."""
    torch.manual_seed(job.seed)
    model = MultimodalModel(job.model).to(device)
    model.checkpoint_blocks(job.gradient_checkpointing, job.offload_activations)
    if job.compile:
        check_compile(device)
        model.transformer.compile_blocks()
    return model.train()


def copy_of(config: ModelConfig, tensors: Mapping[str, Tensor]) -> MultimodalModel:
    """A model in host memory with these weights."""
    with torch.random.fork_rng(devices=[]):
        model = MultimodalModel(config)
    model.load_state_dict(dict(tensors))
    return model


def read_whole(checkpoint: Path, model: Mapping[str, Tensor], optimizer: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint's tensors by name; NymphError where those of `model` or `optimizer` are not all there."""
    snapshot = read_checkpoint(checkpoint)
    for wanted, found in ((model, snapshot.model), (optimizer, snapshot.optimizer)):
        check_fits(wanted, found)
    return {**snapshot.model, **snapshot.optimizer}
