"""Loudness, clipping and silence of recordings: one decoding pass each, remembered by content.

Loudness is integrated loudness in LUFS (ITU-R BS.1770-4: K-weighting, 400 ms blocks, gates at -70 LUFS and 10 LU below
the mean) of the mono mix that every later stage hears. Samples are looked at at the recording's own rate, for
resampling rounds clipped tops off. Memory is one block of sound and ten numbers a second.
"""

from collections.abc import Iterable
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.signal import sosfilt

from nymph.audio.decode import Samples, decode_blocks
from nymph.compute import ComputeOptions, PerItem
from nymph.files import fingerprint
from nymph.ingestion.raw import RawFolder
from nymph.stages import Item, Work
from nymph.stores.recordings import Recordings

VERSION = 1
"""Raised when the same recording would give other figures than before."""

CLIPPED = 0.999
"""Magnitude, full scale being 1, from which a sample counts as clipped."""

SILENT_DB = -50.0
"""dB of full scale; a 20 ms frame below it counts as silent."""

STATISTICS_SCHEMA = pa.schema(
    [
        ("recording", pa.string()),
        ("seconds", pa.float64()),  # as decoded, whatever the header claims
        ("peak_db", pa.float32()),  # of full scale
        ("loudness_lufs", pa.float32()),  # null where nothing passes the gates
        ("clipped_share", pa.float32()),  # of samples
        ("silent_share", pa.float32()),  # of 20 ms frames
    ],
    metadata={"nymph.schema": "recording_statistics/1"},
)

_Floats = npt.NDArray[np.float64]
_SLOWEST = 4000  # Hz; below it the shelf of the K-weighting lies beyond half the rate


def declare_statistics(raw: RawFolder, recordings: Recordings, compute: ComputeOptions) -> Work:
    """Work with one item a recording, done where `compute` says."""
    items = [
        Item(unit, fingerprint(VERSION, unit), rows[0]["sample_rate"], rows[0]["source"])
        for unit, rows in recordings.units("speech").items()
    ]
    return Work("ingestion", items, PerItem(partial(_measure, raw), compute))


def _measure(raw: RawFolder, item: Item) -> pa.Table:
    return measure(item.id, decode_blocks(raw.path_of(item.source), item.payload), item.payload)


def measure(recording: str, blocks: Iterable[Samples], rate: int) -> pa.Table:
    """One row of `STATISTICS_SCHEMA` from mono float32 blocks at `rate` Hz.

    Raises:
        AudioError: from the blocks, where they are being decoded.
    """
    peak, clipped, samples = 0.0, 0, 0
    frames, weighted = _Powers(round(rate * 0.02)), _Powers(round(rate * 0.1))
    weighting = _KWeighting(rate)
    for block in blocks:
        magnitude = np.abs(block)
        peak = max(peak, float(magnitude.max(initial=0.0)))
        clipped += int(np.count_nonzero(magnitude >= CLIPPED))
        samples += len(block)
        frames.push(block)
        weighted.push(weighting.push(block))
    power = frames.values()
    row = {
        "recording": recording,
        "seconds": samples / rate,
        "peak_db": 20 * np.log10(peak) if peak else None,
        "loudness_lufs": integrated_loudness(weighted.values()) if rate >= _SLOWEST else None,
        "clipped_share": clipped / max(1, samples),
        "silent_share": float(np.mean(power < 10 ** (SILENT_DB / 10))) if len(power) else None,
    }
    return pa.Table.from_pylist([row], STATISTICS_SCHEMA)


def integrated_loudness(power: _Floats) -> float | None:
    """LUFS of K-weighted mean squares of consecutive 100 ms; None where nothing is louder than -70 LUFS."""
    if len(power) < 4:
        return None
    blocks = np.convolve(power, np.full(4, 0.25), "valid")  # 400 ms, overlapping by three quarters
    heard = blocks[blocks > _power(-70.0)]
    if not len(heard):
        return None
    heard = heard[heard > heard.mean() / 10]
    return float(-0.691 + 10 * np.log10(heard.mean()))


def _power(lufs: float) -> float:
    return float(10 ** ((lufs + 0.691) / 10))


class _Powers:
    """Mean squares of consecutive windows of a stream, whatever its blocks; a last window that is not full is left."""

    def __init__(self, window: int) -> None:
        self._window = max(1, window)
        self._rest: Samples = np.zeros(0, np.float32)
        self._means: list[_Floats] = []

    def push(self, block: Samples) -> None:
        """Take more samples."""
        samples = np.concatenate([self._rest, block])
        whole = len(samples) // self._window * self._window
        windows = samples[:whole].reshape(-1, self._window)
        self._means.append(np.einsum("nw,nw->n", windows, windows, dtype=np.float64) / self._window)
        self._rest = samples[whole:]

    def values(self) -> _Floats:
        """The means so far."""
        return np.concatenate([np.zeros(0), *self._means])


class _KWeighting:
    """BS.1770's two filters, a high shelf for the head and a high pass for the ear, at any sampling rate."""

    def __init__(self, rate: int) -> None:
        self._sections = np.array([_shelf(rate), _high_pass(rate)], np.float32)
        self._state = np.zeros((2, 2), np.float32)

    def push(self, block: Samples) -> Samples:
        """The filtered block; the filters remember."""
        filtered, self._state = sosfilt(self._sections, block, zi=self._state)
        return np.asarray(filtered, np.float32)


def _shelf(rate: int) -> list[float]:
    k, q, high = np.tan(np.pi * 1681.974450955533 / rate), 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    a0 = 1 + k / q + k * k
    b = [high + band * k / q + k * k, 2 * (k * k - high), high - band * k / q + k * k]
    return [*(value / a0 for value in b), 1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0]


def _high_pass(rate: int) -> list[float]:
    k, q = np.tan(np.pi * 38.13547087602444 / rate), 0.5003270373238773
    a0 = 1 + k / q + k * k
    return [1.0, -2.0, 1.0, 1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0]
