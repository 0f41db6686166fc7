"""What learns, on one rank: the model, its optimizer, and the way an update is made."""

from pathlib import Path

import torch

from nymph.errors import NymphError
from nymph.model.multimodal import MultimodalModel
from nymph.training.checkpoint import read_checkpoint
from nymph.training.devices import check_compile
from nymph.training.job import Job
from nymph.training.optimisation import (
    build_optimizer,
    load_optimizer_tensors,
    non_finite,
    optimizer_tensors,
)
from nymph.training.precision import choose_precision
from nymph.training.state import TrainingState
from nymph.training.step import Stepper
from nymph.training.world import World


class Learner:
    """Built from a job and, where there is one, a checkpoint; `state` says what the run remembers."""

    def __init__(self, job: Job, world: World, state: TrainingState, checkpoint: Path | None = None) -> None:
        self._world = world
        self.model = build_model(job, world.device)
        self.optimizer = build_optimizer(self.model, job.optimiser)
        if checkpoint:
            self.load(checkpoint)
        self.precision = choose_precision(job.precision, world, state.precision)
        self.stepper = Stepper(
            self.model, job.objectives, self.optimizer, world, self.precision, job.clip, job.launch.compression
        )
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

    def load(self, checkpoint: Path) -> None:
        """Take over a checkpoint's tensors. Rank 0 reads it; the others need not see its disk."""
        if self._world.main:
            snapshot = read_checkpoint(checkpoint)
            self.model.load_state_dict(dict(snapshot.model))
            load_optimizer_tensors(self.model, self.optimizer, snapshot.optimizer)
        model, optimizer = self.tensors()
        self._world.share_tensors({**model, **optimizer})

    def check_finite(self) -> None:
        """NymphError where NaN or Inf hides in weights or optimizer state, where no loss shows it."""
        model, optimizer = self.tensors()
        if names := non_finite({**model, **optimizer}):
            raise NymphError(f"NaN or Inf in {names[0]!r} and {len(names) - 1} more tensors")


def build_model(job: Job, device: torch.device) -> MultimodalModel:
    """The job's model with its initial weights, ready to train."""
    torch.manual_seed(job.seed)
    model = MultimodalModel(job.model).to(device)
    model.checkpoint_blocks(job.gradient_checkpointing)
    if job.compile:
        check_compile(device)
        for block in model.transformer.blocks:
            block.compile()
    return model.train()
