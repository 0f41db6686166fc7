"""Two and three gloo processes against one: the same attention, the same gradients."""

import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from torch import Tensor

from nymph.model.config import AttentionConfig, ModelConfig, WindowConfig
from nymph.model.kernels import attend
from nymph.model.packing import Layout
from nymph.model.ring import Ring, RingLatentAttention, _expand
from nymph.model.transformer import CustomTransformer
from nymph.tensors import load_tensors, save_tensors
from nymph.training.launch import PRELOADED

HEADS, WIDTHS, ROTARY, LENGTH = 2, (12, 6, 8), 4, 24
SCALE = 0.3


def inputs() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    latent, nope, value = WIDTHS
    shapes = {
        "query": (2, LENGTH, HEADS, nope + ROTARY),
        "latents": (2, LENGTH, latent + ROTARY),
        "up": (HEADS * (nope + value), latent),
        "gradient": (2, LENGTH, HEADS, value),
    }
    return {name: torch.randn(shape, generator=draw, dtype=torch.float64) for name, shape in shapes.items()}


def transformer() -> tuple[CustomTransformer, Tensor]:
    """A windowed and a global layer in float64, and the same features in every process."""
    torch.manual_seed(0)
    attention = AttentionConfig(type="mla", heads=2, latent=12, rope=4, nope=6, value=8)
    config = ModelConfig(width=16, layers=2, attention=attention, window=WindowConfig(size=7), initial_deviation=0.3)
    return CustomTransformer(config).double(), torch.randn(2, LENGTH, 16, dtype=torch.float64)


def run_rank(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"  # else it asks for this machine's name, which nobody may answer
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world)
    own = slice(rank * LENGTH // world, (rank + 1) * LENGTH // world)
    values = inputs()
    query, latents = (values[name][:, own].clone().requires_grad_() for name in ("query", "latents"))
    up = values["up"].requires_grad_()
    group = dist.group.WORLD
    assert group is not None
    out = RingLatentAttention.apply(query, latents, up, WIDTHS, SCALE, Ring(group))
    out.backward(values["gradient"][:, own])
    model, x = transformer()
    hidden = model.over_ranks(x[:, own], Ring(group))
    hidden.sin().sum().backward()
    whole = {"hidden": hidden, **{f"grad.{n}": p.grad for n, p in model.named_parameters()}}
    save_tensors(Path(folder) / f"model-{rank}.safetensors", {k: v.detach() for k, v in whole.items()})
    found = {"out": out, "query": query.grad, "latents": latents.grad, "up": up.grad}
    save_tensors(Path(folder) / f"{rank}.safetensors", {k: v.detach() for k, v in found.items() if v is not None})
    dist.destroy_process_group()


def one_rank() -> dict[str, Tensor]:
    values = {name: value.requires_grad_(name != "gradient") for name, value in inputs().items()}
    key, value = (x.transpose(1, 2) for x in _expand(values["latents"], values["up"], WIDTHS, HEADS))
    out = attend(values["query"], key, value[..., : WIDTHS[2]], Layout.whole(2, LENGTH), None, SCALE)
    out.backward(values["gradient"])
    return {"out": out, **{name: values[name].grad for name in ("query", "latents", "up")}}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("world", [2, 3])
def test_a_ring_of_ranks_equals_one_rank(world: int, tmp_path: Path) -> None:
    multiprocessing.set_forkserver_preload(PRELOADED)
    multiprocessing.start_processes(run_rank, (world, str(tmp_path)), nprocs=world, start_method="forkserver")
    parts = [load_tensors(tmp_path / f"{rank}.safetensors") for rank in range(world)]
    expected = one_rank()
    for name in ("out", "query", "latents"):
        torch.testing.assert_close(torch.cat([part[name] for part in parts], dim=1), expected[name])
    torch.testing.assert_close(sum(part["up"] for part in parts), expected["up"])
    check_model([load_tensors(tmp_path / f"model-{rank}.safetensors") for rank in range(world)])


def check_model(parts: list[dict[str, Tensor]]) -> None:
    model, x = transformer()
    hidden = model(x)
    hidden.sin().sum().backward()
    torch.testing.assert_close(torch.cat([part["hidden"] for part in parts], dim=1), hidden)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(sum(part[f"grad.{name}"] for part in parts), parameter.grad)
