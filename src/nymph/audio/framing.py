"""Overlapping frames of a sample stream, in batches that do not depend on how the stream was cut into blocks.

Frame i is centred on sample HOP * i; beyond both ends the signal counts as zero, as in librosa with `center=True`.
A recording of n samples has 1 + n // HOP frames, whatever the frame length. Because every batch but the last holds
exactly BATCH frames counted from the start, matrix products round the same way for a stream as for the whole.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

HOP = 160
"""Samples between frames: 10 ms at 16 kHz."""

BATCH = 512
"""Frames handled at once, 5 s: enough to amortise Python, little to hold."""

Samples = npt.NDArray[np.float32]


class Framer:
    """Cuts pushed samples into frames of an even length, [frames, length] float32 views at a time."""

    def __init__(self, length: int) -> None:
        if length % 2 or length < HOP:
            raise ValueError(f"expected an even frame length of at least {HOP}, got {length}")
        self.length = length
        self._held = np.zeros(length // 2, np.float32)
        self._span = (BATCH - 1) * HOP + length

    def push(self, samples: Samples) -> Iterator[Samples]:
        """Take more samples; give the full batches they complete. Raises `ValueError` for NaN and infinity."""
        if not np.isfinite(samples).all():
            raise ValueError("expected finite samples, got NaN or infinity; nymph.audio.decode refuses such files")
        self._held = np.concatenate([self._held, samples])
        start = 0
        while len(self._held) - start >= self._span:
            yield self._frames(self._held[start : start + self._span])
            start += BATCH * HOP
        self._held = self._held[start:].copy()

    def finish(self) -> Iterator[Samples]:
        """Give the frames that are left, the last ones padded with zeros."""
        yield from self.push(np.zeros(self.length // 2, np.float32))
        if len(self._held) >= self.length:
            yield self._frames(self._held)

    def _frames(self, samples: Samples) -> Samples:
        count, stride = 1 + (len(samples) - self.length) // HOP, samples.strides[0]
        return np.lib.stride_tricks.as_strided(samples, (count, self.length), (HOP * stride, stride), writeable=False)
