"""The job: everything a training run needs to know, as frozen plain values, JSON in and out.

The same job trains the same in a test, under `python -m nymph.training job.json`, under torchrun and from the Kedro
node. Cross-field checks live here, so that a wrong job fails before data or devices are touched.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from nymph.errors import NymphError
from nymph.files import read_json, write_json
from nymph.model.config import STRICT, ModelConfig, ObjectiveConfig
from nymph.plain import from_plain, to_plain
from nymph.training.forecast import Prediction
from nymph.training.schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    """AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101) and which parameters it moves how fast."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    learning_rate: float = 1e-3
    """Peak learning rate."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Decay of the running mean and of the running square of the gradients."""
    epsilon: float = 1e-8
    """Added to the root of the running square."""
    weight_decay: float = 0.1
    """Decoupled decay of matrices; vectors (norms, biases) never decay."""
    learning_rates: dict[str, float] = field(default_factory=dict)
    """Factor on the learning rate by pattern (`fnmatch`) of a module or parameter; the first that fits counts."""
    freeze_modules: tuple[str, ...] = ()
    """Patterns (`fnmatch`) of modules or parameters that stay as they are."""

    def __post_init__(self) -> None:
        if self.learning_rate <= 0 or not all(0 <= beta < 1 for beta in self.betas):
            raise NymphError(
                "optimiser needs a learning_rate above 0 and betas in [0, 1), "
                f"got {self.learning_rate!r} and {self.betas!r}"
            )


@dataclass(frozen=True, kw_only=True)
class HealthRules:
    """When the trainer skips a step, raises an alert, or stops."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    skips_in_a_row: int = 10
    """Steps with a non-finite loss or gradient, one after another, after which training stops as failed."""
    window: int = 128
    """Ordinary steps that spikes and outliers are measured against."""
    spike_sigma: float = 6.0
    """Robust standard deviations above the window's median that make a loss a spike."""
    gradient_sigma: float = 12.0
    """The same for the logarithm of the gradient norm."""
    rollbacks: int = 0
    """Times a run may go back to a checkpoint from before `skips_in_a_row` or a lasting spike and leave those rows out;
    0 stops instead, and tells of a spike only."""
    skip_spikes: bool = False
    """Leave the update of a step with a loss spike out."""
    throughput_share: float = 0.5
    """Alert when a step's speed stays below this share of the window's median."""
    data_wait_share: float = 0.2
    """Alert when more than this share of the time goes to waiting for rows."""
    dead_after: int = 100
    """Steps without one target after which an objective counts as dead."""
    disk_free: int = 1 << 30
    """Alert when the checkpoint disk has fewer free bytes."""
    device_memory_share: float = 0.97
    """Alert when more than this share of a GPU's memory is used."""
    device_celsius: float = 88.0
    """Alert when a GPU is hotter."""
    stall_seconds: float = 30.0
    """Alert, naming the rank, when no step ends for so long."""
    state_every: int = 100
    """Steps between looks for non-finite values hidden in weights and optimiser state."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How many processes train together, and how they find each other."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    ranks: int = 1
    """Processes on this machine; 0 is one for each GPU."""
    shares: tuple[int, ...] = ()
    """Rows each rank of the world takes of a step, in proportion; empty is even."""
    nodes: int = 1
    """Machines."""
    rendezvous: str = ""
    """`host:port` of the first machine, needed when nodes > 1."""
    restarts: int = 3
    """Times the group is started again when a rank dies."""
    fewest_ranks: int = 1
    """Ranks of one machine to go on with: after `restarts` the rank that dies is left out, until so few are left."""
    fewest_nodes: int = 0
    """Machines of several to go on with, and to begin with when no more come within 30 seconds; 0 is all."""
    sharding: Literal["none", "optimizer", "full"] = "none"
    """What the ranks share instead of each holding it: gradients and optimizer state, or the weights too."""
    stages: tuple[int, ...] = ()
    """Layers of each rank, where the model is cut into stages; empty is no pipeline."""
    devices: tuple[str, ...] = ()
    """Device of each rank of this machine; empty is `device`, and a GPU for each where there are any."""
    compression: Literal["none", "fp16", "bf16"] = "none"
    """Precision of gradients on the wire."""
    synchronise_every: int = 1
    """Steps after which ranks exchange; above 1 each trains by itself and they take the mean (not exact)."""
    timeout_seconds: float = 300.0
    """Seconds a rank waits for another before it gives up."""

    @property
    def replicas(self) -> bool:
        """Whether every rank has the whole model."""
        return self.sharding == "none" and not self.stages

    def __post_init__(self) -> None:
        if self.nodes > 1 and not self.rendezvous:
            raise NymphError("launch.nodes > 1 needs launch.rendezvous, the host:port of the first machine")
        if self.fewest_ranks < 1 or not 0 <= self.fewest_nodes <= self.nodes:
            raise NymphError(
                "launch.fewest_ranks must be 1 or more and launch.fewest_nodes 0 to launch.nodes, "
                f"got {self.fewest_ranks!r} and {self.fewest_nodes!r}"
            )
        if self.synchronise_every < 1:
            raise NymphError(f"launch.synchronise_every must be 1 or more, got {self.synchronise_every!r}")
        if (self.sharding != "none") + (self.compression != "none") + (self.synchronise_every > 1) + bool(
            self.stages
        ) > 1:
            raise NymphError(
                "launch takes one of sharding, stages, compression and synchronise_every, not two together"
            )
        if any(layers < 1 for layers in self.stages) or (self.stages and self.shares):
            raise NymphError(f"launch.stages must be 1 layer or more each, and without launch.shares: {self.stages!r}")
        if self.devices and self.ranks not in (0, len(self.devices)):
            raise NymphError(f"launch.devices names {len(self.devices)} devices, launch.ranks is {self.ranks}")
        if len({device.partition(":")[0] for device in self.devices}) > 1:
            raise NymphError(f"launch.devices must be all of one kind, got {list(self.devices)}; use cuda or cpu alone")
        if self.shares and self.fewest_nodes not in (0, self.nodes):
            raise NymphError("launch.shares names every rank, so launch.fewest_nodes cannot be less than launch.nodes")
        if any(share < 1 for share in self.shares):
            raise NymphError(f"launch.shares must be whole numbers of 1 or more, got {self.shares!r}")


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training run."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    train_rows: str | tuple[str, ...]
    """Training rows: a folder of Parquet shards or `grpc://host:port/table`, or several, mixed row by row."""
    run_directory: str
    """Where the event log goes; one trainer at a time."""
    checkpoint_directory: str
    """Where checkpoints go."""
    train_weights: tuple[float, ...] = ()
    """How often each row of each of several tables comes in an epoch; empty is once."""
    validation_rows: str | None = None
    """Rows of the validation loss, like `train_rows`."""
    connection: dict[str, str | int | float] = field(default_factory=dict)
    """Fields of `nymph.flight.connection.Connection`, for rows on a server."""
    model: ModelConfig = field(default_factory=ModelConfig)
    objectives: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optimiser: Optimiser = field(default_factory=Optimiser)
    schedule: Schedule = field(default_factory=Schedule)
    health: HealthRules = field(default_factory=HealthRules)
    launch: Launch = field(default_factory=Launch)
    steps: int = 100
    """Optimiser updates of the whole run."""
    batch_rows: int = 8
    """Rows of one step, over all ranks and micro-batches."""
    gradient_accumulation: int = 1
    """Micro-batches into which each rank cuts its rows of a step; memory falls, the gradient stays."""
    clip: float = 1.0
    """Largest global gradient norm; 0 does not clip."""
    evaluation_every: int = 50
    """Steps between validation losses; 0 only at the start and the end."""
    evaluation_rows: int | None = None
    """Validation rows used, from the first; None is all."""
    checkpoint_every: int = 50
    """Steps between checkpoints; 0 only at the end."""
    keep_last: int = 3
    """Checkpoints kept besides the best one."""
    backup: str | None = None
    """`grpc://host:port/root` of a server that keeps a second copy of each checkpoint; `connection` reaches it."""
    asynchronous_checkpoints: bool = True
    """Write checkpoints in a thread from a copy in memory; False waits for the disk."""
    log_every: int = 1
    """Steps between `step` events."""
    console_every: int = 10
    """Steps between console lines; 0 is silent."""
    seed: int = 0
    """Of the initial weights, the row order, the masks and dropout."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:1`."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Compute precision; `auto` measures what each device gains from half of it."""
    preflight: Literal["gpu", "always", "never"] = "gpu"
    """Where to try the largest possible batch before the first step, and to cut micro-batches until it fits."""
    gradient_checkpointing: bool = False
    """Recompute each block in the backward pass: less memory, about a third more compute."""
    offload_activations: bool = False
    """With gradient checkpointing, keep what is recomputed from in host memory, or of a CPU on disk (TMPDIR, else
    /var/tmp): for the longest rows."""
    compile: bool = False
    """Compile the model's blocks around the attention kernels: a minute at the start, then fewer passes over memory.
    Refused where the device cannot (Triton needs sm_70)."""
    resume: str = "latest"
    """`latest` continues if there is anything to continue, `best`, `none`, or a checkpoint: its path, or its address
    where a backup is kept, `grpc://host:port/root/run/step-00000100`."""
    patience: int = 0
    """Evaluations without a better validation loss after which training stops; 0 never stops early."""
    max_seconds: float = 0.0
    """Training time after which training stops, over all its processes; 0 is no limit."""
    max_tokens: int = 0
    """Tokens after which training stops; 0 is no limit."""
    prefetch: int = 2
    """Steps whose rows are read ahead."""
    prediction: Prediction | None = None
    """What an estimate or a plan said of this run; held against the fact at its end."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_rows", "gradient_accumulation", "keep_last", "log_every", "prefetch"):
            if getattr(self, name) < 1:
                raise NymphError(f"{name} must be 1 or more, got {getattr(self, name)!r}")
        for name in ("clip", "evaluation_every", "checkpoint_every", "patience", "max_seconds", "max_tokens"):
            if getattr(self, name) < 0:
                raise NymphError(f"{name} must be 0 or more, got {getattr(self, name)!r}")
        if self.launch.stages:
            self._check_stages(len(self.launch.stages), sum(self.launch.stages))
        if self.offload_activations and not self.gradient_checkpointing:
            raise NymphError("offload_activations needs gradient_checkpointing: it moves what that keeps")
        if "token" in self.connection:
            raise NymphError("connection.token would be written to disk with the job; use connection.token_file")
        if self.patience and not (self.validation_rows and self.evaluation_every):
            raise NymphError("patience needs validation_rows and an evaluation_every above 0")

    def _check_stages(self, stages: int, layers: int) -> None:
        if layers != self.model.layers or self.launch.ranks * self.launch.nodes not in (0, stages):
            raise NymphError(
                f"launch.stages {self.launch.stages!r} has {layers} layers on {stages} ranks, "
                f"expected the model's {self.model.layers} on {self.launch.ranks} x {self.launch.nodes}"
            )
        if self.gradient_accumulation < stages or self.batch_rows % self.gradient_accumulation:
            raise NymphError(
                f"{stages} stages need {stages} or more equal micro-batches: batch_rows {self.batch_rows} must be a "
                f"multiple of gradient_accumulation {self.gradient_accumulation}, and that {stages} or more"
            )
        if self.objectives.objective == "autoencoder":
            raise NymphError("launch.stages cannot train an autoencoder: its target is at the other end")

    @property
    def run(self) -> str:
        """The run's name: the last part of its directory."""
        return Path(self.run_directory).name

    @property
    def reach(self) -> dict[str, Any]:
        """`connection` as keyword arguments for whatever opens rows."""
        return dict(self.connection)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `Job.from_dict` gives an equal job back."""
        return dict(to_plain(self))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Job":
        """A job from plain values; NymphError names an unknown key and the nearest right one."""
        return from_plain(cls, values)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the job as a JSON file."""
        write_json(path, self.to_dict())

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "Job":
        """Read a job file; NymphError where it is missing, not JSON, or not a job."""
        try:
            values = read_json(path)
        except (OSError, ValueError) as error:
            raise NymphError(f"cannot read job file {os.fspath(path)!r}: {error}") from None
        return cls.from_dict(values)
