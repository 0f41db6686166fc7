"""Pitch candidates with probabilities: the first half of pYIN, frame by frame equal to `librosa.pyin`.

pYIN (Mauch and Dixon, ICASSP 2014) runs YIN (de Cheveigne and Kawahara, JASA 2002) under a prior over its threshold
and hands each trough of the difference function to a Viterbi search with the probability mass of the thresholds that
would choose it. The arithmetic follows librosa 0.11 step by step, single precision where librosa has it, because
candidates differ by a bin when it does not; only loops over frames are compiled and the thresholds are tabulated.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.special

from nymph.audio.compiled import compiled
from nymph.audio.decode import SAMPLE_RATE
from nymph.audio.framing import Samples

BINS_PER_SEMITONE = 10
THRESHOLDS = 100
BETA = (2, 18)
BOLTZMANN = 2.0
NO_TROUGH = 0.01
"""librosa's defaults: resolution, thresholds and their beta prior, prior over troughs, mass without a trough."""

_CACHED = 128  # frames whose spectra fit into a core's cache

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]


@dataclass(frozen=True)
class PitchRange:
    """Where to look for the fundamental. The default suits speech; singing wants 65.4-2093 Hz and frames of 2048."""

    f_min: float = 65.0
    """Hz; two periods should fit into a frame."""
    f_max: float = 400.0
    """Hz, at most half the sampling rate."""
    frame_length: int = 1024
    """Samples at 16 kHz, even."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if not 0 < self.f_min < self.f_max <= SAMPLE_RATE / 2:
            raise ValueError(f"expected 0 < f_min < f_max <= {SAMPLE_RATE / 2:g} Hz, got {self.f_min}, {self.f_max}")
        if self.frame_length % 2 or self.frame_length <= SAMPLE_RATE / self.f_min + 1:
            raise ValueError(f"expected an even frame_length longer than a period of f_min, got {self.frame_length}")

    @property
    def periods(self) -> tuple[int, int]:
        """Shortest and longest period, in samples."""
        return int(SAMPLE_RATE // self.f_max), min(int(np.ceil(SAMPLE_RATE / self.f_min)), self.frame_length - 1)

    @property
    def bins(self) -> int:
        """Pitch bins of a tenth of a semitone from `f_min` up."""
        return int(np.floor(12 * BINS_PER_SEMITONE * np.log2(self.f_max / self.f_min))) + 1

    def frequencies(self) -> Doubles:
        """Hz of each pitch bin."""
        hertz: Doubles = self.f_min * 2 ** (np.arange(self.bins) / (12 * BINS_PER_SEMITONE))
        return hertz


@dataclass(frozen=True)
class Candidates:
    """The pitch candidates of F frames: those of frame i are `bins[starts[i]:starts[i + 1]]`, in ascending order."""

    starts: Ints
    """[F + 1]"""
    bins: Ints
    probability: Doubles
    voiced_probability: Doubles
    """[F], the sum of a frame's candidates, at most 1."""


@dataclass(frozen=True)
class CandidateFinder:
    """Finds the candidates of frames [F, frame_length]."""

    range: PitchRange
    _tables: tuple[Any, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_tables", _tables(self.range.periods[1]))

    def __call__(self, frames: Samples) -> Candidates:
        shortest, longest = self.range.periods
        correlation = autocorrelation(frames, longest + 1)
        limits = (shortest, longest, self.range.f_min, self.range.bins)
        counts, bins, probability, voiced = _candidates(frames, correlation, *limits, *self._tables)
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        return Candidates(starts, bins[: starts[-1]], probability[: starts[-1]], voiced)


def autocorrelation(frames: Samples, lags: int) -> Samples:
    """[F, length] to [F, lags] by FFT in single precision, of the length that librosa takes."""
    size = scipy.fft.next_fast_len(2 * frames.shape[-1] - 1, real=True)
    correlation = np.empty((len(frames), lags), np.float32)
    for start in range(0, len(frames), _CACHED):
        spectrum = scipy.fft.rfft(frames[start : start + _CACHED], n=size, axis=-1)
        _square(spectrum)
        correlation[start : start + _CACHED] = scipy.fft.irfft(spectrum, n=size, axis=-1)[:, :lags]
    return correlation


@compiled
def _square(spectrum: npt.NDArray[np.complex64]) -> None:
    """Each number's squared magnitude, in its place."""
    values = spectrum.reshape(-1)
    for i in range(len(values)):
        real, imaginary = values[i].real, values[i].imag
        values[i] = complex(real * real + imaginary * imaginary, np.float32(0))


@cache
def _tables(longest: int) -> tuple[Any, ...]:
    """Thresholds, sums of their prior from each up and below each, and the prior of trough k among n troughs."""
    thresholds = np.linspace(0, 1, THRESHOLDS + 1)
    prior = np.diff(scipy.special.betainc(*BETA, thresholds))
    below = np.array([np.sum(prior[:n]) for n in range(THRESHOLDS + 1)])
    above = np.concatenate([np.cumsum(prior[::-1])[::-1], [0.0]])  # summed from the small end, to keep small sums exact
    troughs = longest // 2 + 2
    n = np.maximum(np.arange(troughs), 1)[:, None]
    rank = (1 - np.exp(-BOLTZMANN)) / (1 - np.exp(-BOLTZMANN * n)) * np.exp(-BOLTZMANN * np.arange(troughs))
    return thresholds[1:].copy(), above, below, np.clip(rank, 0, 1)


@compiled
def _candidates(
    frames: Samples,
    correlation: Samples,
    shortest: int,
    longest: int,
    f_min: float,
    n_bins: int,
    thresholds: Doubles,
    above: Doubles,
    below: Doubles,
    rank: Doubles,
) -> tuple[Ints, Ints, Doubles, Doubles]:
    n_frames = len(frames)
    most = (longest - shortest) // 2 + 2
    counts = np.zeros(n_frames, np.int32)
    bins = np.empty(n_frames * most, np.int32)
    probability = np.empty(n_frames * most)
    voiced = np.empty(n_frames)
    difference = np.empty(longest - shortest + 1)
    sums = np.empty(longest + 1, np.float32)
    troughs = np.empty(most, np.int64)
    weights = np.empty(most)
    end = 0
    for i in range(n_frames):
        _normalised_difference(frames[i], correlation[i], shortest, sums, difference)
        n = _find_troughs(difference, troughs)
        _weigh(difference, troughs[:n], thresholds, above, below, rank, weights)
        start, total = end, 0.0
        for t in range(n - 1, -1, -1):  # from the longest period, that is from the lowest bin
            if weights[t] == 0.0:
                continue
            period = shortest + troughs[t] + _parabolic_shift(difference, troughs[t])
            bin_ = np.rint(12 * BINS_PER_SEMITONE * np.log2(SAMPLE_RATE / period / f_min))
            bin_ = min(max(bin_, 0.0), float(n_bins))
            if bin_ == n_bins or (end > start and bins[end - 1] == bin_):
                continue  # above the range, or a bin that a longer period has taken
            bins[end], probability[end] = int(bin_), weights[t]
            total += weights[t]
            end += 1
        counts[i] = end - start
        voiced[i] = min(max(total, 0.0), 1.0)
    return counts, bins, probability, voiced


@compiled
def _normalised_difference(
    frame: Samples, correlation: Samples, shortest: int, sums: Samples, difference: Doubles
) -> None:
    """YIN's cumulative mean normalised difference at lags `shortest` and up, into `difference`."""
    energy, total = np.float32(0), np.float32(0)
    two, zero_lag = np.float32(2), correlation[0]
    for lag in range(1, len(sums)):
        value = two * (zero_lag - correlation[lag]) - energy
        if lag == 1:
            energy = frame[0] * frame[0]
        energy = energy + frame[lag] * frame[lag]
        total = total + value
        sums[lag] = total
        if lag >= shortest:
            difference[lag - shortest] = value
    tiny = 2.2250738585072014e-308
    for j in range(len(difference)):
        lag = shortest + j
        difference[j] = difference[j] / (np.float64(sums[lag]) / lag + tiny)


@compiled
def _find_troughs(difference: Doubles, troughs: npt.NDArray[np.int64]) -> int:
    """Indices of local minima, ends included, into `troughs`; their number."""
    n, last = 0, len(difference) - 1
    if difference[0] < difference[1]:
        troughs[0] = 0
        n = 1
    for j in range(1, last):
        if difference[j] < difference[j - 1] and difference[j] <= difference[j + 1]:
            troughs[n] = j
            n += 1
    if difference[last] < difference[last - 1]:
        troughs[n] = last
        n += 1
    return n


@compiled
def _weigh(
    difference: Doubles,
    troughs: npt.NDArray[np.int64],
    thresholds: Doubles,
    above: Doubles,
    below: Doubles,
    rank: Doubles,
    weights: Doubles,
) -> None:
    """Probability of each trough: over all thresholds, the prior of its rank among the troughs below it.

    The ranks change only where a threshold passes a trough, so their priors are summed between such thresholds.
    """
    n = len(troughs)
    if n == 0:
        return
    first = np.searchsorted(thresholds, difference[troughs], side="right")  # the lowest threshold above each trough
    weights[:n] = 0.0
    start = first.min()
    floor = start
    while start < len(thresholds):
        stop, under = len(thresholds), 0
        for t in range(n):
            if first[t] <= start:
                under += 1
            elif first[t] < stop:
                stop = first[t]
        mass, position = above[start] - above[stop], 0
        for t in range(n):
            if first[t] <= start:
                weights[t] += rank[under, position] * mass
                position += 1
        start = stop
    weights[np.argmin(difference[troughs])] += NO_TROUGH * below[floor]


@compiled
def _parabolic_shift(difference: Doubles, j: int) -> float:
    """Where the parabola through a trough and its neighbours has its minimum, in samples from the trough."""
    if j == 0 or j == len(difference) - 1:
        return 0.0
    a = difference[j + 1] + difference[j - 1] - 2 * difference[j]
    b = (difference[j + 1] - difference[j - 1]) / 2
    return 0.0 if abs(b) >= abs(a) else -b / a
