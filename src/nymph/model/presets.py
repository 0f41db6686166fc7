"""Named sizes of the model, each in an `mla` and a `gqa` form.

Where hardware decides, the sizes favour it: tiny and small give mla queries, keys and values one width, because CPU and
FlashAttention kernels need equal widths and pad otherwise.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from nymph.errors import NymphError, nearest
from nymph.model.config import AttentionConfig, ModelConfig, WindowConfig

Options = TypeVar("Options")

_SIZES: dict[str, dict[str, int]] = {
    "tiny": {"width": 128, "layers": 4, "context_length": 512},
    "debug": {"width": 512, "layers": 8, "context_length": 1024},
    "small": {"width": 768, "layers": 12, "context_length": 2048},
    "medium": {"width": 1024, "layers": 24, "context_length": 4096},
    "large": {"width": 2048, "layers": 32, "context_length": 8192},
}
_WINDOWS = {"tiny": 128, "debug": 256, "small": 1024, "medium": 1024, "large": 1024}
_VOCABULARIES = {"tiny": 4096, "debug": 16384, "small": 32768, "medium": 32768, "large": 32768}
_HEADS: dict[str, tuple[int, int]] = {
    "tiny": (4, 2),
    "debug": (8, 2),
    "small": (12, 4),
    "medium": (16, 4),
    "large": (32, 8),
}
_LATENTS: dict[str, tuple[int, int, int, int]] = {  # latent, rope, nope, value
    "tiny": (64, 16, 16, 32),
    "debug": (128, 32, 32, 64),
    "small": (256, 32, 32, 64),
    "medium": (256, 32, 64, 64),
    "large": (512, 32, 64, 64),
}

PRESETS: tuple[str, ...] = tuple(_SIZES)
"""Names that `preset` knows, from small to large."""


def preset(name: str, attention: str = "mla", **overrides: Any) -> ModelConfig:
    """The configuration of a named size, in its `mla` or `gqa` form, with fields of ModelConfig overridden.

    Raises NymphError for an unknown name, form or field.
    """
    if name not in _SIZES:
        raise NymphError(f"expected a preset of {', '.join(PRESETS)}, got {name!r}{nearest(name, PRESETS)}")
    values: dict[str, Any] = {
        **_SIZES[name],
        "vocabulary_size": _VOCABULARIES[name],
        "window": WindowConfig(size=_WINDOWS[name]),
        "attention": _attention(name, attention),
    }
    _refuse_unknown(ModelConfig, overrides, "")
    return ModelConfig(**{**values, **overrides})


def _attention(size: str, form: str) -> AttentionConfig:
    heads, key_value_heads = _HEADS[size]
    if form == "gqa":
        return AttentionConfig(type="gqa", heads=heads, key_value_heads=key_value_heads)
    if form != "mla":
        raise NymphError(f"a preset's attention must be 'mla' or 'gqa', got {form!r}; for others override attention")
    latent, rope, nope, value = _LATENTS[size]
    return AttentionConfig(type="mla", heads=heads, latent=latent, rope=rope, nope=nope, value=value)


def _refuse_unknown(kind: type, values: Mapping[str, Any], path: str) -> None:
    known = [item.name for item in dataclasses.fields(kind)]
    for name in values:
        if name not in known:
            raise NymphError(f"unknown option {path + name!r} of {kind.__name__}{nearest(name, known)}")
