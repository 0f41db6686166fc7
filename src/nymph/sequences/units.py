"""Audio units: a k-means codebook over 80 ms of log-mel, so that sound can be predicted like words.

12.5 units a second, one for each mel patch, of the patch's mean spectrum: coarse, speaker-dependent and free of any
pretrained model. The codebook carries its own standardisation and lives beside `tokenizer.json`.
Legend: k patches, U units.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nymph.errors import NymphError
from nymph.sequences.features import patch_means

CODEBOOK = "audio_units.safetensors"
"""Name of the codebook beside tokenizer.json."""


@dataclass(frozen=True)
class UnitOptions:
    """How audio units are learned."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    units: int = 0
    """Units to learn; 0 is none."""
    maximum_patches: int = 200_000
    """Patches kept for fitting, drawn evenly from the corpus; 200,000 are 4.4 hours and 64 MB."""
    seed: int = 0
    """Of the draw and of the first centres."""


class Codebook:
    """Centres in standardised mean log-mel; calling it gives the nearest centre of each patch."""

    def __init__(self, centres: NDArray[np.float32], mean: NDArray[np.float32], deviation: NDArray[np.float32]) -> None:
        """`centres` [U,80], `mean` and `deviation` [80]."""
        self.centres, self.mean, self.deviation = centres, mean, deviation
        self._half_norms = (centres**2).sum(1) / 2

    @property
    def size(self) -> int:
        """U."""
        return len(self.centres)

    def __call__(self, means: NDArray[np.float32], /) -> NDArray[np.int64]:
        """The unit of each patch [k], from its mean log-mel spectrum [k,80]."""
        values = (means - self.mean) / self.deviation
        return np.argmax(values @ self.centres.T - self._half_norms, axis=1)

    def save(self, path: Path) -> None:
        """Write the codebook atomically."""
        import torch

        from nymph.tensors import save_tensors

        values = {"centres": self.centres, "mean": self.mean, "deviation": self.deviation}
        save_tensors(path, {name: torch.from_numpy(value) for name, value in values.items()})

    @classmethod
    def load(cls, path: Path) -> "Codebook":
        """The codebook that `save` wrote; NymphError where it is missing or damaged."""
        from nymph.tensors import load_tensors

        stored = {name: tensor.numpy().copy() for name, tensor in load_tensors(path).items()}
        return cls(stored["centres"], stored["mean"], stored["deviation"])


def fit_codebook(tables: Iterable[pa.Table], options: UnitOptions) -> Codebook:
    """Learn units from frame tables in one pass over a stream, by mini-batch k-means on an even sample of it."""
    from sklearn.cluster import MiniBatchKMeans

    sample = _reservoir(tables, options)
    if len(sample) < options.units:
        raise NymphError(
            f"{options.units} audio units need at least as many 80 ms patches, the corpus has {len(sample)}; "
            "add recordings or set units to a smaller number (0 for none)"
        )
    mean, deviation = sample.mean(0), np.maximum(sample.std(0), 1e-3)
    means = MiniBatchKMeans(options.units, random_state=options.seed, n_init=1, batch_size=4096)
    means.fit((sample - mean) / deviation)
    return Codebook(means.cluster_centers_.astype(np.float32), mean, deviation)


def _reservoir(tables: Iterable[pa.Table], options: UnitOptions) -> NDArray[np.float32]:
    """An even sample of a stream of unknown length (Vitter's algorithm R, a table at a time)."""
    random = np.random.default_rng(options.seed)
    kept = np.zeros((options.maximum_patches, 80), np.float32)
    seen = 0
    for table in tables:
        for patch in patch_means(table):
            place = seen if seen < len(kept) else int(random.integers(0, seen + 1))
            if place < len(kept):
                kept[place] = patch
            seen += 1
    return kept[:seen]
