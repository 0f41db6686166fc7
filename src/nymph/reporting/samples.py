"""What a run's model made of a validation document, for people: the trainer's files with words instead of tokens."""

import base64
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from nymph.files import read_json
from nymph.text.tokenizer import Tokenizer
from nymph.text.vocabulary import END_OF_DOCUMENT
from nymph.training.events import SAMPLES

TOKENIZER = Path("tokenizer") / "tokenizer.json"
"""Under a run directory: what its rows were made with."""
WORDS = ("prompt", "generated", "expected")
FRAMES_PER_SECOND = 100


def read_sample(run: Path, name: str) -> dict[str, Any]:
    """The file `samples/<name>` of a run directory, with `WORDS` as text; numbers where the tokenizer is missing.

    Raises:
        OSError, ValueError: The file is gone, or no JSON.
    """
    values = read_json(run / SAMPLES / name)
    tokenizer = _tokenizer(run / TOKENIZER)
    words = {field: _decode(tokenizer, values.get(field, [])) for field in WORDS}
    words["generated"] = words["generated"].partition(END_OF_DOCUMENT)[0] or END_OF_DOCUMENT
    return {**values, **words}


def sample_picture(sample: Mapping[str, Any]) -> bytes | None:
    """The true spectrogram over the predicted one, as a PNG; None for a sample without sound."""
    from matplotlib.figure import Figure

    from nymph.sequences.picture import png

    mel = sample.get("mel")
    if mel is None:
        return None
    figure = Figure(figsize=(8, 4), layout="constrained")
    for axes, name in zip(figure.subplots(2, sharex=True), ("true", "predicted"), strict=True):
        frames = np.frombuffer(base64.b64decode(mel[name]), np.uint8).reshape(-1, mel["bins"])
        extent = (0, len(frames) / FRAMES_PER_SECOND, 0, mel["bins"])
        axes.imshow(frames.T, origin="lower", aspect="auto", vmin=0, vmax=255, extent=extent)
        axes.set_ylabel(f"{name}\nmel band")
    axes.set_xlabel("time (s)")
    return png(figure)


def _decode(tokenizer: Tokenizer | None, tokens: list[int]) -> str:
    if tokenizer is None or any(not 0 <= token < tokenizer.size for token in tokens):
        return " ".join(f"#{token}" for token in tokens)
    return tokenizer.decode(tokens)


def _tokenizer(path: Path) -> Tokenizer | None:
    return _load(path, path.stat().st_mtime_ns) if path.is_file() else None


@lru_cache(maxsize=4)
def _load(path: Path, stamp: int) -> Tokenizer:
    """`stamp` tells one state of the file from the next."""
    return Tokenizer.load(path)
