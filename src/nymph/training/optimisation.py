"""AdamW, its parameter groups, and its state as named tensors.

State is named by parameter, not by number: a checkpoint survives a change of groups. It exists from the start rather
than from the first step, so that its place in memory and in a checkpoint never changes.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from nymph.errors import NymphError, nearest
from nymph.training.job import Optimiser

MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def build_optimizer(model: nn.Module, options: Optimiser, names: list[str] | None = None) -> torch.optim.AdamW:
    """AdamW over the parameters that are not frozen, with empty state in place; `names` are the whole model's.

    Raises:
        NymphError: A pattern fits no parameter, or everything is frozen.
    """
    names = names or [name for name, _ in model.named_parameters()]
    _check_patterns([*options.freeze_modules, *options.learning_rates], names)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not is_frozen(name, options))
    groups: dict[tuple[float, bool], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((_factor(name, options), parameter.ndim >= 2), []).append(parameter)
    if not groups:
        raise NymphError(f"optimiser.freeze_modules {options.freeze_modules!r} leaves nothing to train")
    optimizer = torch.optim.AdamW(
        [_group(parameters, factor, decays, options) for (factor, decays), parameters in groups.items()],
        betas=options.betas,
        eps=options.epsilon,
        fused=True,
    )
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            optimizer.state[parameter] = _empty_state(parameter)
    return optimizer


def is_frozen(name: str, options: Optimiser) -> bool:
    """Whether a parameter of this name stays as it is."""
    return _fits(name, options.freeze_modules)


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Set every group to `factor` of its peak; return the rate of the first group."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
    return float(optimizer.param_groups[0]["lr"])


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's own tensors as `<parameter>.<moment>`."""
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter in optimizer.state}
    return {f"{name}.{key}": optimizer.state[trained[name]][key] for name in trained for key in MOMENTS}


def load_optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Copy saved state into the optimizer; NymphError where names or shapes do not fit."""
    live = optimizer_tensors(model, optimizer)
    check_fits(live, tensors)
    for name, tensor in live.items():
        tensor.copy_(tensors[name])


def check_fits(live: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    """NymphError where a tensor was not saved, or in another shape."""
    for name, tensor in live.items():
        if name not in saved or saved[name].shape != tensor.shape:
            raise NymphError(f"the checkpoint's state does not fit: {name!r} is missing or of another shape")


def non_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of tensors that hold NaN or Inf: a weight whose optimizer state does would never move again."""
    floats = {
        name: tensor.detach() for name, tensor in tensors.items() if tensor.is_floating_point() and tensor.numel()
    }
    # Extremes carry NaN and Inf, and are found fifteen times as fast on a CPU as a norm or `isfinite`.
    ends = torch.stack([torch.stack(torch.aminmax(tensor)).float() for tensor in floats.values()])
    return [name for name, sound in zip(floats, ends.isfinite().all(dim=1).tolist(), strict=True) if not sound]


def _group(parameters: list[Tensor], factor: float, decays: bool, options: Optimiser) -> dict[str, object]:
    peak = options.learning_rate * factor
    return {
        "params": parameters,
        "lr": peak,
        "peak": peak,
        "weight_decay": options.weight_decay if decays else 0.0,
    }


def _empty_state(parameter: Tensor) -> dict[str, Tensor]:
    return {
        "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
        "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
        "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
    }


def _factor(name: str, options: Optimiser) -> float:
    return next((factor for pattern, factor in options.learning_rates.items() if _fits(name, (pattern,))), 1.0)


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a parameter, or a module it is in, has a name like one of `patterns`."""
    return any(fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*") for pattern in patterns)


def _check_patterns(patterns: list[str], names: list[str]) -> None:
    for pattern in patterns:
        if not any(_fits(name, (pattern,)) for name in names):
            raise NymphError(f"optimiser pattern {pattern!r} fits no parameter{nearest(pattern, names)}")
