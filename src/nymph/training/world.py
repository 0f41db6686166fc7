"""The ranks that train together, and the few words they exchange besides gradients.

With one rank every operation is the identity and torch.distributed is never touched. What ranks tell each other is
numbers and JSON, never pickles.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from nymph.errors import NymphError
from nymph.training.devices import pick_device
from nymph.training.meeting import agree_on_name

FAILED = "rank {} failed: "
"""How a rank begins that ends because of another one."""


def left_alone(error: BaseException) -> bool:
    """Whether an exchange failed for the want of another rank: an error of that one, not of the one that raises it."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)  # gloo has no class of its own


class SharedError(Exception):
    """What all ranks raise at the same moment, between two exchanges: they can still save before they end.

    `error` is this rank's own.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True)
class World:
    """One rank's place among all."""

    device: torch.device
    rank: int = 0
    size: int = 1
    restarts: int = 0
    """Times the launcher has started this group again."""
    staged: bool = False
    """Each rank has a stage of the model, and all of them read the same rows."""

    @property
    def main(self) -> bool:
        """Whether this rank writes what is written once."""
        return self.rank == 0

    @property
    def reader(self) -> tuple[int, int]:
        """Which of how many parts of the rows this rank reads."""
        return (0, 1) if self.staged else (self.rank, self.size)

    @property
    def beside_main(self) -> bool:
        """Whether this rank is on rank 0's machine; the launcher numbers them."""
        return os.environ.get("GROUP_RANK", "0") == "0"

    @property
    def store(self) -> torch._C._distributed_c10d.Store:
        """Where the ranks have met; only with several of them."""
        return dist.distributed_c10d._get_default_store()

    def claim(self, what: str) -> bool:
        """Whether this rank is the first to ask for `what`; where the ranks no longer meet, rank 0 is."""
        try:
            return bool(self.store.compare_set(f"nymph/claim/{what}", "", str(self.rank)) == str(self.rank).encode())
        except RuntimeError:
            return self.main

    def end_together(self, failed: float, error: Exception | None) -> None:
        """Where any rank has `failed` (summed over ranks), raise on all of them: `error`, or that of one which has it.

        Raises:
            SharedError: Some rank cannot go on.
        """
        if not failed:
            return
        rank = self.largest(self.rank if error else -1)
        text = self.share(f"{type(error).__name__}: {error}", rank)
        raise SharedError(error or NymphError(f"{FAILED.format(rank)}{text}"))

    def placed(self, value: float) -> list[float]:
        """Zeros but at this rank's place: the sum over ranks holds everybody's value."""
        return [value if rank == self.rank else 0.0 for rank in range(self.size)]

    def sum(self, values: list[float]) -> list[float]:
        """Element-wise sums over all ranks, in double precision."""
        if self.size == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor)
        return list(tensor.tolist())

    def largest(self, value: int) -> int:
        """The largest of all ranks' values."""
        if self.size == 1:
            return value
        tensor = torch.tensor(value, device=self.device)
        dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return int(tensor)

    def share(self, value: Any, rank: int = 0) -> Any:
        """The JSON value of one rank, on every rank."""
        if self.size == 1:
            return value
        data = json.dumps(value).encode() if self.rank == rank else b""
        size = torch.tensor([len(data)], device=self.device)
        dist.broadcast(size, rank)
        buffer = torch.zeros(int(size.item()), dtype=torch.uint8, device=self.device)
        if self.rank == rank:
            buffer.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        dist.broadcast(buffer, rank)
        return json.loads(bytes(buffer.cpu().numpy().tobytes()))

    def gather(self, value: Any) -> list[Any]:
        """The JSON values of all ranks, on every rank."""
        return [self.share(value, rank) for rank in range(self.size)]


@contextmanager
def join_world(
    device: str, timeout_seconds: float, staged: bool = False, devices: Sequence[str] = ()
) -> Iterator[World]:
    """This process's place in the group that torchrun or `launch` started, or a world of one.

    `devices` names that of each local rank where it is not `device`.
    """
    rank, size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    local = int(os.environ.get("LOCAL_RANK", 0))
    place = pick_device(devices[local] if devices else device, local)
    restarts = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))
    if place.type == "cuda":
        torch.cuda.set_device(place)
    if size == 1:
        yield World(place, restarts=restarts)
        return
    backend = "nccl" if place.type == "cuda" else "gloo"
    store = _meet(rank, size, timeout_seconds)
    wait = timedelta(seconds=timeout_seconds)
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=wait)
    try:
        world = World(place, rank, size, staged=staged)
        yield replace(world, restarts=world.largest(restarts))  # each machine counts its own
    finally:
        dist.destroy_process_group()


def _meet(rank: int, size: int, timeout_seconds: float) -> PrefixStore:
    """A store for the ranks of this start alone."""
    store, _, _ = next(rendezvous("env://", rank, size, timeout=timedelta(seconds=timeout_seconds)))
    name = agree_on_name(PrefixStore("nymph", store), rank, size, timeout_seconds)
    return PrefixStore(name, store)
