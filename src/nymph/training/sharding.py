"""A model and its optimizer cut into shards, one a rank (FSDP2: Zhao et al. 2023, arXiv 2304.11277).

Attention and feed-forward of each block are gathered by themselves, everything else together. `optimizer` keeps what
it has gathered until the backward pass (what ZeRO-2 does, Rajbhandari et al. 2020, arXiv 1910.02054), `full` gathers
it a second time there: half as much exchange again for less memory. The parameters keep their names and their
optimizer AdamW, so checkpoints are those of one rank: gathered tensor by tensor, and dealt out to any number of ranks.
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from nymph.model.multimodal import MultimodalModel


def shard(losses: nn.Module, model: MultimodalModel, device: torch.device, full: bool) -> None:
    """Cut `model`, which `losses` runs, over all ranks, in place; it moves to `device` piece by piece.

    Gradients become the sum over ranks, where DistributedDataParallel takes the mean.
    """
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    for block in model.transformer.blocks:
        fully_shard(block.get_submodule("attention"), mesh=mesh, reshard_after_forward=full)
        fully_shard(block.get_submodule("feed_forward"), mesh=mesh, reshard_after_forward=full)
    fully_shard(losses, mesh=mesh, reshard_after_forward=full)
    for module in losses.modules():
        if isinstance(module, FSDPModule):  # asked for a mean, gloo takes the sum without a word (torch 2.8)
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)


def delay_exchange(losses: nn.Module, last: bool) -> None:
    """Gradients of micro-batches before the `last` are summed where they are, whole, before they are exchanged."""
    if isinstance(losses, FSDPModule):
        losses.set_requires_gradient_sync(last)


def whole(tensor: Tensor) -> Tensor:
    """The tensor of which each rank holds a shard; every rank must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def part(tensor: Tensor) -> Tensor:
    """What this rank holds of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def deal(tensor: Tensor, value: Tensor | None) -> None:
    """Overwrite `tensor` on every rank, or its shards, with rank 0's `value`; the other ranks have None."""
    place = tensor.to_local().device if isinstance(tensor, DTensor) else tensor.device
    whole_value = torch.empty(tensor.shape, dtype=tensor.dtype, device=place) if value is None else value.to(place)
    if isinstance(tensor, DTensor):
        tensor.copy_(distribute_tensor(whole_value, tensor.device_mesh, tensor.placements))
        return
    tensor.copy_(whole_value)
    dist.broadcast(tensor, 0)
