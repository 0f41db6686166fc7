"""The losses of a batch as one module's forward, which is what torch's wrappers for many ranks can wrap.

Ranks that exchange shards of gradients must all have the same ones, whether there was sound in their rows or not. So
there every parameter gets a gradient, if only zero, and those that no rank's rows have used lose it again before the
update: AdamW leaves a parameter without gradient alone, as it does in one process, where zero would make it decay.
DistributedDataParallel finds that out by itself.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node, get_gradient_edge

from nymph.model.config import ObjectiveConfig
from nymph.model.multimodal import MultimodalModel
from nymph.model.objectives import Sum, compute
from nymph.training.world import World


class Objectives(nn.Module):
    """A model and what it is taught."""

    def __init__(self, model: MultimodalModel, config: ObjectiveConfig) -> None:
        super().__init__()
        self.model, self.config = model, config
        self.padding = False
        """Whether the next batch only fills up a rank that has fewer than the others."""

    def forward(self, batch: Mapping[str, Tensor], seed: int, hide: frozenset[str] = frozenset()) -> dict[str, Sum]:
        """See `nymph.model.objectives.compute`; masks are drawn under `seed`."""
        found = compute(self.model, batch, self.config, torch.Generator().manual_seed(seed), hide)
        if torch.is_grad_enabled() and not any(found[name][0].requires_grad for name in self.config.weights()):
            return self._touched(found)
        return found

    def drop_unused(self, world: World) -> None:
        """Before an update: leave no gradient where no rank's rows have made one."""

    def _touched(self, found: dict[str, Sum]) -> dict[str, Sum]:
        """The same losses, with a gradient of zero for each parameter that they do not depend on."""
        nothing = 0.0 * torch.stack([parameter.flatten()[0] for parameter in self._outside_blocks().values()]).sum()
        return {name: (loss + nothing, count) for name, (loss, count) in found.items()}

    def _outside_blocks(self) -> dict[str, nn.Parameter]:
        """Parameters that a batch may leave unused, by name; in the blocks there are none."""
        named = self.model.named_parameters()
        return {name: p for name, p in named if p.requires_grad and not name.startswith("transformer.blocks.")}


class ShardedObjectives(Objectives):
    """The same where each rank has a shard of every parameter."""

    def __init__(self, model: MultimodalModel, config: ObjectiveConfig) -> None:
        super().__init__(model, config)
        self._used: set[str] = set()

    def forward(self, batch: Mapping[str, Tensor], seed: int, hide: frozenset[str] = frozenset()) -> dict[str, Sum]:
        """Of every batch all parameters get gradients."""
        found = compute(self.model, batch, self.config, torch.Generator().manual_seed(seed), hide)
        if not torch.is_grad_enabled():
            return found
        if not self.padding:
            leaves = {get_gradient_edge(parameter).node: name for name, parameter in self._outside_blocks().items()}
            self._used |= _reached([found[name][0] for name in self.config.weights()], leaves)
        return self._touched(found)

    def drop_unused(self, world: World) -> None:
        """Every rank must call it."""
        parameters = self._outside_blocks()
        ranks = world.sum([float(name in self._used) for name in parameters])
        self._used = set()
        for parameter, count in zip(parameters.values(), ranks, strict=True):
            if not count:
                parameter.grad = None


def _reached(losses: Iterable[Tensor], leaves: Mapping[Node, str]) -> set[str]:
    """Those of `leaves` that the losses depend on: a walk over the graph of some milliseconds."""
    todo = [loss.grad_fn for loss in losses if loss.grad_fn is not None]
    seen = set(todo)
    while todo:
        for node, _ in todo.pop().next_functions:
            if node is not None and node not in seen:
                seen.add(node)
                todo.append(node)
    return {name for node, name in leaves.items() if node in seen}
