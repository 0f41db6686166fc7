"""Speaker vectors: the GE2E encoder of Resemblyzer, run from the weights in its wheel without importing it.

Three LSTM layers over mel power in windows of 1.6 s (Wan et al., "Generalized End-to-End Loss for Speaker
Verification", ICASSP 2018; weights by Resemblyzer, Apache-2.0). Vectors equal Resemblyzer's `embed_utterance` of the
same samples. Its `preprocess_wav` is left out: spans come from voice activity detection already, and its webrtcvad
needs a compiler; the part of it that a vector depends on, raising quiet speech to -30 dBFS, is `normalise`.
torch is loaded by `SpeakerEncoder.load`, not by importing this module.
"""

import importlib.util
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nymph.audio.decode import SAMPLE_RATE, Samples
from nymph.audio.framing import HOP, Framer
from nymph.audio.spectrogram import N_FFT, mel_power
from nymph.errors import NymphError

if TYPE_CHECKING:
    import torch

Vector = npt.NDArray[np.float32]

SIZE = 256
"""Components of a speaker vector."""

_MELS = 40
_WINDOW = 160  # frames of a partial utterance: 1.6 s
_STEP = round(SAMPLE_RATE / 1.3 / HOP)  # 1.3 partial utterances a second
_COVERAGE = 0.75  # a last partial utterance with less sound than this is dropped
_QUIET = -30.0
_TOGETHER = 16  # windows; 16 save 40 % of the CPU time of single parts, more save no more


class SpeakerEncoder:
    """Turns speech into a vector whose dot product with another tells how alike the voices are."""

    def __init__(self, network: "torch.nn.ModuleDict", device: str) -> None:
        self._network = network
        self._device = device

    @classmethod
    def load(cls, weights: str | os.PathLike[str] | None = None, device: str = "cpu") -> "SpeakerEncoder":
        """The encoder with `weights`, a Resemblyzer checkpoint; by default the one in the Resemblyzer wheel.

        Nothing in the file is executed. Raises `NymphError` if it is missing or is not such a checkpoint.
        """
        import torch
        from torch import nn

        path = Path(weights) if weights is not None else default_weights()
        network = nn.ModuleDict({"lstm": nn.LSTM(_MELS, SIZE, 3, batch_first=True), "linear": nn.Linear(SIZE, SIZE)})
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
            network.load_state_dict({name: state[name] for name in network.state_dict()})
        except Exception as error:  # torch has no common class for what a bad file raises
            raise NymphError(
                f"expected Resemblyzer's speaker weights in {path.name!r}, got {type(error).__name__}: {error}"
            ) from error
        return cls(network.eval().requires_grad_(False).to(device), device)

    def embed(self, samples: Samples) -> Vector:
        """[samples] at 16 kHz to a vector [256] of length 1; all zeros where there is no sound at all."""
        return next(self.embed_many([samples]))

    def embed_many(self, parts: Iterable[Samples]) -> Iterator[Vector]:
        """`embed` of each part in order, the windows of several going through the network together.

        Parts are taken until `_TOGETHER` windows are there, so a stream of any length needs little memory. Vectors
        differ from those of single parts by rounding.
        """
        waiting: list[npt.NDArray[np.float32]] = []
        for part in parts:
            waiting.append(_windows(np.asarray(part, np.float32)))
            if sum(map(len, waiting)) >= _TOGETHER:
                yield from self._means(waiting)
                waiting = []
        yield from self._means(waiting)

    def _means(self, windows: list[npt.NDArray[np.float32]]) -> Iterator[Vector]:
        """The vector of each part from its windows [n, 160, 40]; none of a part is no sound."""
        if not windows:
            return
        partials = iter(self._partials(np.concatenate(windows)))
        for part in windows:
            mine = list(islice(partials, len(part)))
            yield _unit(np.mean(mine, axis=0)) if mine else np.zeros(SIZE, np.float32)

    def _partials(self, mels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Windows of mel power [n, 160, 40] to vectors [n, 256] of length 1."""
        import torch

        if not len(mels):
            return np.zeros((0, SIZE), np.float32)
        with torch.inference_mode():
            _, (hidden, _) = self._network["lstm"](torch.from_numpy(mels).to(self._device))
            raw = torch.relu(self._network["linear"](hidden[-1]))
            vectors: Any = raw / torch.linalg.vector_norm(raw, dim=1, keepdim=True).clamp_min(1e-12)
            partials: npt.NDArray[np.float32] = vectors.cpu().numpy()
        return partials


def default_weights() -> Path:
    """`pretrained.pt` of the installed Resemblyzer, found without importing it. Raises `NymphError`."""
    spec = importlib.util.find_spec("resemblyzer")
    if spec is None or spec.origin is None:
        raise NymphError("expected the package 'resemblyzer' for its speaker weights; install it or name the weights")
    return Path(spec.origin).with_name("pretrained.pt")


def normalise(samples: Samples) -> Samples:
    """Speech quieter than -30 dBFS raised to it, as Resemblyzer does before embedding; louder speech as it is."""
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    if power == 0.0 or 10 * np.log10(power) >= _QUIET:
        return samples
    return (samples * np.float32(np.sqrt(10 ** (_QUIET / 10) / power))).astype(np.float32)


def partial_starts(n_samples: int) -> list[int]:
    """First frames of the windows that cover so many samples, at least one."""
    frames = int(np.ceil((n_samples + 1) / HOP))
    starts = list(range(0, max(1, frames - _WINDOW + _STEP + 1), _STEP))
    covered = (n_samples - starts[-1] * HOP) / (_WINDOW * HOP)
    return starts[:-1] if covered < _COVERAGE and len(starts) > 1 else starts


def _windows(samples: Samples) -> npt.NDArray[np.float32]:
    """Mel power [n, 160, 40] of the windows that cover a part; none where there is no sound at all."""
    if not np.any(samples):
        return np.zeros((0, _WINDOW, _MELS), np.float32)
    starts = partial_starts(len(samples))
    mel = _mel(np.pad(samples, (0, max(0, (starts[-1] + _WINDOW) * HOP - len(samples)))))
    return np.stack([mel[start : start + _WINDOW] for start in starts])


def _mel(samples: Samples) -> npt.NDArray[np.float32]:
    framer = Framer(N_FFT)
    batches = [*framer.push(samples), *framer.finish()]
    return np.concatenate([mel_power(batch, _MELS) for batch in batches])


def _unit(vector: Vector) -> Vector:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)
