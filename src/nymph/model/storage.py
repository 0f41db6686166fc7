"""A model on disk: `model.safetensors` and `config.json`, readable by any device and torch version, never unpickled."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from nymph.errors import NymphError, nearest
from nymph.files import read_json, write_json
from nymph.model.config import ModelConfig
from nymph.plain import from_plain, to_plain
from nymph.tensors import load_tensors, save_tensors

if TYPE_CHECKING:
    from nymph.model.multimodal import MultimodalModel

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
MODEL_TYPE = "nymph"
"""`model_type` in config.json, by which transformers finds the registered class."""
_FOREIGN = ("model_type", "architectures", "transformers_version", "dtype", "torch_dtype")
"""Keys that transformers adds to config.json."""


def save_model(model: "MultimodalModel", folder: str | os.PathLike[str]) -> None:
    """Write a model's weights, then its configuration, each whole or not at all."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    save_tensors(place / WEIGHTS, dict(model.state_dict()), {"format": "pt"})
    write_json(place / CONFIG, {"model_type": MODEL_TYPE, **to_plain(model.config)})


def load_model(folder: str | os.PathLike[str], device: str = "cpu") -> "MultimodalModel":
    """The model in a folder, on `device`, in evaluation mode; NymphError where weights and configuration do not fit."""
    from nymph.model.multimodal import MultimodalModel

    try:
        values = read_json(Path(folder) / CONFIG)
    except (OSError, ValueError) as error:
        raise NymphError(
            f"{folder} holds no model: expected a checkpoint's folder with {WEIGHTS} and {CONFIG}, got {error}"
        ) from None
    model = MultimodalModel(
        from_plain(ModelConfig, {k: v for k, v in values.items() if k not in _FOREIGN}, "config")
    ).to(device)
    tensors = load_tensors(Path(folder) / WEIGHTS, device)
    _check_names(set(model.state_dict()), set(tensors), folder)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise NymphError(f"{folder}: {WEIGHTS} does not fit {CONFIG}: {error}") from error
    return model.eval()


def _check_names(expected: set[str], got: set[str], folder: str | os.PathLike[str]) -> None:
    for name in sorted(expected - got):
        raise NymphError(f"{folder}: {WEIGHTS} lacks {name!r}, which {CONFIG} calls for{nearest(name, got)}")
    for name in sorted(got - expected):
        raise NymphError(f"{folder}: {WEIGHTS} holds {name!r}, which {CONFIG} does not know{nearest(name, expected)}")
