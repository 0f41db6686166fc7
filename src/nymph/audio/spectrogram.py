"""Log-mel, MFCC and energy from one FFT pass, numerically equal to librosa's.

Settings, in librosa's words: sr 16000, n_fft 400 (25 ms, as in Whisper), hop 160, Hann window, zero padding, 80 Slaney
mel bands up to 8 kHz, power 2. Decibels are 10 log10 of power, floored at 1e-10 (-100 dB), full scale as reference,
so digital silence is -100. Unlike `librosa.feature.mfcc`, loudness is not clipped at 80 dB below the loudest
frame: that depends on the whole recording, and the values of a frame should not.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import scipy.fft

from nymph.audio.decode import SAMPLE_RATE, Samples
from nymph.audio.framing import Framer

N_FFT = 400
MELS = 80
MFCCS = 20
FLOOR = 1e-10
"""Least power told apart from silence: -100 dB."""

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SpectralFeatures:
    """Frame-level features of the same frames: frame i is centred on sample 160 * i."""

    log_mel: Matrix
    """[frames, 80], dB."""
    mfcc: Matrix
    """[frames, 20], the orthonormal DCT-II of `log_mel`."""
    energy_db: npt.NDArray[np.float32]
    """[frames], RMS of the 25 ms around the frame's centre, in dB of full scale."""


def log_mel(samples: Samples) -> Matrix:
    """[samples] at 16 kHz to log-mel [frames, 80] in dB."""
    return spectral_features(samples).log_mel


def mfcc(samples: Samples) -> Matrix:
    """[samples] at 16 kHz to MFCC [frames, 20]."""
    return spectral_features(samples).mfcc


def rms_energy_db(samples: Samples) -> npt.NDArray[np.float32]:
    """[samples] at 16 kHz to RMS energy [frames] in dB of full scale."""
    return spectral_features(samples).energy_db


def spectral_features(samples: Samples) -> SpectralFeatures:
    """All three features of [samples] at 16 kHz."""
    parts = list(stream_spectral_features([np.asarray(samples, np.float32)]))
    return SpectralFeatures(
        np.concatenate([part.log_mel for part in parts]),
        np.concatenate([part.mfcc for part in parts]),
        np.concatenate([part.energy_db for part in parts]),
    )


def stream_spectral_features(blocks: Iterable[Samples]) -> Iterator[SpectralFeatures]:
    """The same features of a recording that comes in blocks, in bounded memory, bit for bit as for the whole."""
    framer = Framer(N_FFT)
    for block in blocks:
        yield from map(spectral_features_of, framer.push(block))
    yield from map(spectral_features_of, framer.finish())


def mel_power(frames: Matrix, mels: int) -> Matrix:
    """Frames [n, N_FFT] to mel power [n, mels], librosa's `melspectrogram`."""
    spectrum = scipy.fft.rfft(frames * _window(), axis=-1).astype(np.complex64)  # in double, as librosa does
    power: Matrix = spectrum.real**2 + spectrum.imag**2
    return power @ mel_filters(mels)


def decibels(power: Matrix) -> Matrix:
    """10 log10 of power, floored at -100 dB."""
    return np.float32(10) * np.log10(np.maximum(power, np.float32(FLOOR)))


@cache
def mel_filters(mels: int) -> Matrix:
    """Slaney's triangular filters [N_FFT // 2 + 1, mels], each of unit area in Hz (Auditory Toolbox, 1998)."""
    frequencies = np.linspace(0, SAMPLE_RATE / 2, N_FFT // 2 + 1)
    edges = _mel_to_hz(np.linspace(0, _hz_to_mel(SAMPLE_RATE / 2), mels + 2))
    widths = np.diff(edges)
    ramps = edges[:, None] - frequencies[None, :]
    rising, falling = -ramps[:-2] / widths[:-1, None], ramps[2:] / widths[1:, None]
    filters = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    filters *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return np.ascontiguousarray(filters.T)


def spectral_features_of(frames: Matrix) -> SpectralFeatures:
    """All three features of frames [n, N_FFT], one row each."""
    mel_db = decibels(mel_power(frames, MELS))
    energy = np.einsum("fl,fl->f", frames, frames) / np.float32(N_FFT)
    return SpectralFeatures(mel_db, mel_db @ _dct(), decibels(energy))


@cache
def _window() -> npt.NDArray[np.float64]:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)


@cache
def _dct() -> Matrix:
    basis = scipy.fft.dct(np.eye(MELS), axis=-1, norm="ortho")[:, :MFCCS]
    return np.ascontiguousarray(basis, dtype=np.float32)


def _hz_to_mel(hz: float) -> float:
    """Slaney's scale: linear below 1 kHz, logarithmic above."""
    return hz * 3 / 200 if hz < 1000 else 15 + float(np.log(hz / 1000) / np.log(6.4) * 27)


def _mel_to_hz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(mels < 15, mels * 200 / 3, 1000 * np.exp(np.log(6.4) / 27 * (mels - 15)))
