"""The losses of a batch as one module's forward, which is what torch's wrappers for many ranks can wrap."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nymph.model.config import ObjectiveConfig
from nymph.model.multimodal import MultimodalModel
from nymph.model.objectives import Sum, compute


class Objectives(nn.Module):
    """A model and what it is taught.

    Args:
        touch_all: Give every parameter a gradient, if only zero: ranks that exchange shards of gradients must have
            the same ones, whether there was sound in their rows or not. DistributedDataParallel finds out by itself.
    """

    def __init__(self, model: MultimodalModel, config: ObjectiveConfig, touch_all: bool = False) -> None:
        super().__init__()
        self.model, self.config, self._touch_all = model, config, touch_all

    def forward(self, batch: Mapping[str, Tensor], seed: int, hide: frozenset[str] = frozenset()) -> dict[str, Sum]:
        """See `nymph.model.objectives.compute`; masks are drawn under `seed`."""
        found = compute(self.model, batch, self.config, torch.Generator().manual_seed(seed), hide)
        if not torch.is_grad_enabled():
            return found
        if not self._touch_all and any(found[name][0].requires_grad for name in self.config.weights()):
            return found
        nothing = 0.0 * torch.stack([parameter.flatten()[0] for parameter in self._outside_blocks()]).sum()
        return {name: (loss + nothing, count) for name, (loss, count) in found.items()}

    def _outside_blocks(self) -> list[Tensor]:
        """Parameters that a batch may leave unused; in the blocks there are none."""
        named = self.model.named_parameters()
        return [p for name, p in named if p.requires_grad and not name.startswith("transformer.blocks.")]
