"""Audio units: a k-means codebook over short sounds, so that sound can be predicted like words.

12.5 or 25 units a second, each for 80 or 40 ms: of their mean spectrum, coarse, speaker-dependent and free of any
pretrained model, or of the mean state of a speech encoder, which knows phones from voices. With run lengths, a sound
that goes on is one unit: sequences shrink, and how long it went on is not learned (GSLM,
https://arxiv.org/abs/2102.01192, does the same). The codebook carries its own standardisation and lives beside
`tokenizer.json`. Legend: k patches, U units, D numbers of a spectrum (80) or a state.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nymph.errors import NymphError
from nymph.files import fingerprint
from nymph.sequences.features import patch_edges, patch_means
from nymph.sequences.schema import MEL_BINS

Source = Literal["log_mel", "state"]
"""A column of frames that units may stand for."""
FRAMES_PER_UNIT = {12.5: 8, 25.0: 4}
"""10 ms frames that a unit stands for, by units a second."""


@dataclass(frozen=True)
class UnitOptions:
    """How audio units are learned."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    units: int = 0
    """Units to learn; 0 is none: audio positions hold `<|audio|>` and are learned as mel patches alone."""
    per_second: float = 12.5
    """12.5 or 25 units a second."""
    run_length: bool = False
    """Equal units in a row become one."""
    of: Source = "log_mel"
    """What they stand for: the spectrum, or the `state` of the catalog's `speech_encoder`."""
    base: str | None = None
    """An earlier `audio_units.safetensors`, whose units keep number and sound; only those beyond are learned."""
    maximum_patches: int = 200_000
    """Sounds kept for fitting, drawn evenly from the corpus; 200,000 of 80 ms are 4.4 hours, and 64 MB of spectra."""
    seed: int = 0
    """Of the draw and of the first centres."""

    def __post_init__(self) -> None:
        if self.per_second not in FRAMES_PER_UNIT:
            raise NymphError(f"audio units per_second: expected 12.5 or 25, got {self.per_second}")
        if not 0 <= self.units <= self.maximum_patches:
            raise NymphError(f"audio units: expected 0 to maximum_patches ({self.maximum_patches}), got {self.units}")

    @property
    def frames(self) -> int:
        """10 ms frames of a unit."""
        return FRAMES_PER_UNIT[self.per_second]


@dataclass(frozen=True, eq=False)
class Codebook:
    """Calling it with frames gives the nearest centre of each short sound. It may have no units at all."""

    centres: NDArray[np.float32]
    """Standardised means [U,D]."""
    mean: NDArray[np.float32]
    """Of the corpus [D]."""
    deviation: NDArray[np.float32]
    """Of the corpus [D]."""
    frames: int = 8
    """10 ms frames of a unit."""
    run_length: bool = False
    """Equal units in a row become one."""
    of: Source = "log_mel"
    """The column of frames that it reads."""

    @classmethod
    def empty(cls) -> "Codebook":
        """A codebook of no units."""
        return cls(np.zeros((0, MEL_BINS), np.float32), *np.zeros((2, MEL_BINS), np.float32))

    @property
    def size(self) -> int:
        """U."""
        return len(self.centres)

    @property
    def fingerprint(self) -> str:
        """32 hex digits that stand for every value and rule."""
        values = b"".join(array.tobytes() for array in (self.centres, self.mean, self.deviation))
        return fingerprint(self.frames, self.run_length, self.of, hashlib.sha256(values).hexdigest())

    def __call__(self, table: pa.Table, /) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The units [k] of a table of frames, and the frames where they begin and end [k+1]."""
        values = (patch_means(table, self.frames, self.of) - self.mean) / self.deviation
        units = np.argmax(values @ self.centres.T - (self.centres**2).sum(1) / 2, axis=1)
        edges = patch_edges(table.num_rows, self.frames)
        if not self.run_length:
            return units, edges
        first = np.flatnonzero(np.diff(units, prepend=-1))
        return units[first], np.append(edges[first], edges[-1])

    def save(self, path: Path) -> None:
        """Write the codebook atomically."""
        import torch

        from nymph.tensors import save_tensors

        values = {"centres": self.centres, "mean": self.mean, "deviation": self.deviation}
        rules = {"frames": str(self.frames), "run_length": str(self.run_length), "of": self.of}
        save_tensors(path, {name: torch.from_numpy(value) for name, value in values.items()}, rules)

    @classmethod
    def load(cls, path: Path) -> "Codebook":
        """The codebook that `save` wrote; NymphError where it is missing or damaged."""
        from nymph.tensors import load_tensors, read_metadata

        stored = {name: tensor.numpy().copy() for name, tensor in load_tensors(path).items()}
        rules = read_metadata(path)
        try:
            arrays = (stored["centres"], stored["mean"], stored["deviation"])
            return cls(
                *arrays,
                int(rules["frames"]),
                rules["run_length"] == "True",
                "state" if rules["of"] == "state" else "log_mel",
            )
        except (KeyError, ValueError) as error:
            raise NymphError(f"{path}: not a codebook of audio units ({error}); run the tokenizer pipeline") from error


def fit_codebook(tables: Iterable[pa.Table], options: UnitOptions) -> Codebook:
    """Learn units from frame tables in one pass over a stream, by mini-batch k-means on an even sample of it.

    Units beyond those of `options.base` are drawn to where these are far from the sound: each sound weighs as much as
    its squared distance to the nearest of them, as in k-means++.
    """
    known = _base(options)
    if options.units == known.size:
        return known
    sample = _reservoir(tables, options)
    if len(sample) < options.units:
        raise NymphError(
            f"{options.units} audio units need at least as many sounds of {options.frames * 10} ms, the corpus has "
            f"{len(sample)}; add recordings or set units to a smaller number (0 for none)"
        )
    if not known.size:
        spread = np.maximum(sample.std(0), 1e-3)
        known = replace(known, centres=sample[:0], mean=sample.mean(0), deviation=spread)
    learned = _centres((sample - known.mean) / known.deviation, known.centres, options)
    return replace(known, centres=np.concatenate([known.centres, learned]))


def _base(options: UnitOptions) -> Codebook:
    """The codebook to go on from, by the rules of `options`."""
    known = Codebook.load(Path(options.base)) if options.base else Codebook.empty()
    if known.size and ((known.frames, known.of) != (options.frames, options.of) or known.size > options.units):
        raise NymphError(
            f"{options.base} has {known.size} units of {known.frames * 10} ms of {known.of}, asked for {options.units} "
            f"of {options.frames * 10} ms of {options.of}: a codebook can grow, but neither shrink nor change its rate "
            "or what it stands for"
        )
    return replace(known, frames=options.frames, run_length=options.run_length, of=options.of)


def _centres(values: NDArray[np.float32], known: NDArray[np.float32], options: UnitOptions) -> NDArray[np.float32]:
    """New centres among standardised sounds [k,D], beside those that are known [U,D]."""
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.metrics import pairwise_distances_argmin_min

    weights = pairwise_distances_argmin_min(values, known)[1] ** 2 if len(known) else None
    means = MiniBatchKMeans(options.units - len(known), random_state=options.seed, n_init=1, batch_size=4096)
    return means.fit(values, sample_weight=weights).cluster_centers_.astype(np.float32)


def _reservoir(tables: Iterable[pa.Table], options: UnitOptions) -> NDArray[np.float32]:
    """An even sample of a stream of unknown length (Vitter's algorithm R, a table at a time)."""
    random = np.random.default_rng(options.seed)
    kept: list[NDArray[np.float32]] = []
    seen = 0
    for table in tables:
        for patch in patch_means(table, options.frames, options.of):
            place = seen if seen < options.maximum_patches else int(random.integers(0, seen + 1))
            if place == len(kept):
                kept.append(patch.copy())
            elif place < len(kept):
                kept[place] = patch.copy()
            seen += 1
    return np.stack(kept) if kept else np.zeros((0, MEL_BINS), np.float32)
