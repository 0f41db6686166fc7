"""Ranks that train apart for some steps, then go on from the mean of their weights: local SGD for slow links.

Stich 2019, arXiv 1805.09767. AdamW's moments are averaged too: from then on all ranks are the same, and a checkpoint
is that of one rank. It exchanges three tensors every `launch.synchronise_every` steps instead of one every step. It is
not exact: between two meetings every rank follows its own rows, so the curve is close to one rank's, not equal.
"""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from nymph.training.world import World


class Averaging:
    """Brings the ranks' `tensors` together, each rank counting as much as its share of the rows."""

    def __init__(self, tensors: Sequence[Tensor], world: World, shares: Sequence[int] = ()) -> None:
        self._tensors = list(tensors)
        self._weight = shares[world.rank] / sum(shares) if shares else 1 / world.size

    def __call__(self) -> None:
        """Replace the tensors of every rank by their mean over ranks; every rank must call it."""
        with torch.no_grad():
            torch._foreach_mul_(self._tensors, self._weight)
            for work in [dist.all_reduce(tensor, async_op=True) for tensor in self._tensors]:
                work.wait()
