"""Audio of any container PyAV reads into mono float32 blocks, or an `AudioError` that says why not.

Decoding streams: a ten-hour file needs one block of memory, at the price that damage at the end of a file (and a
truncation, which only its end shows) is raised after the good blocks were yielded. Channels are mixed by their plain
mean, which is defined for every layout, before resampling with libswresample. Only the given file is read: playlists
and other containers that point elsewhere are refused.
"""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import av
import numpy as np
import numpy.typing as npt

from nymph.audio.headers import duration_is_counted, read_wav_header
from nymph.errors import NymphError

Samples = npt.NDArray[np.float32]
Source = str | os.PathLike[str] | bytes

SAMPLE_RATE = 16_000
"""Hz; what every feature in this package expects."""

RATES = range(1_000, 192_001)
"""Source sampling rates taken for real, in Hz."""

CHANNELS = range(1, 65)
"""Source channel counts taken for real."""

LOUDEST = 1e6
"""Magnitude above which samples are no audio; integers written as floats (up to 32768) still pass."""

_CHUNK = 65_536


class AudioError(NymphError):
    """Audio that cannot be used. `reason` is one of `REASONS`, stable for reports and quarantine."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    @property
    def lasting(self) -> bool:
        """Whether the same bytes can only fail again."""
        return self.reason not in ("missing", "unreadable", "unsupported_codec")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, str(self))


REASONS = {
    "missing": "there is no such file",
    "unreadable": "the file cannot be opened; check its permissions",
    "empty": "the file has no bytes",
    "not_audio": "no audio stream can be found in it",
    "unsupported_codec": "its audio is in a format libav cannot decode",
    "unsupported_rate": f"its sampling rate is outside {RATES.start}-{RATES.stop - 1} Hz",
    "unsupported_channels": f"its channel count is outside {CHANNELS.start}-{CHANNELS.stop - 1}",
    "no_samples": "it has a header but no samples",
    "corrupt": "its audio data cannot be decoded",
    "truncated": "it ends before the length its header claims",
    "non_finite": "its samples hold NaN or infinity",
    "out_of_range": f"its samples exceed {LOUDEST:g}; full scale is 1",
}


@dataclass(frozen=True)
class AudioInfo:
    """What a file claims to hold, read from its headers alone."""

    container: str
    codec: str
    duration_s: float | None
    """Seconds, as claimed; None where the container does not say."""
    sample_rate: int
    """Hz."""
    channels: int


def probe(source: Source) -> AudioInfo:
    """Read a file's headers. Raises `AudioError`."""
    with _opened(source) as (container, file):
        return _info(container, file, source)


def decode(source: Source, sample_rate: int = SAMPLE_RATE) -> Samples:
    """All of a recording as mono float32 [samples] at `sample_rate` Hz. Raises `AudioError`."""
    return np.concatenate(list(decode_blocks(source, sample_rate)))


def decode_blocks(source: Source, sample_rate: int = SAMPLE_RATE, block_s: float = 30.0) -> Iterator[Samples]:
    """A recording as mono float32 blocks of `block_s` seconds, the last one shorter, none empty.

    Raises `AudioError`, for damage found late only after the blocks before it; results of such a file are void.
    """
    block = max(1, round(block_s * sample_rate))
    held: list[Samples] = []
    size = 0
    for piece in _checked(source, sample_rate):
        held.append(piece)
        size += len(piece)
        while size >= block:
            whole = np.concatenate(held)
            yield whole[:block]
            held, size = [whole[block:]], size - block
    if size:
        yield np.concatenate(held)


def _checked(source: Source, sample_rate: int) -> Iterator[Samples]:
    """Decoded pieces, each finite and in range, all of them as long as the header claims."""
    total = 0
    with _opened(source) as (container, file):
        info = _info(container, file, source)
        for piece in _resampled(container, info.channels, sample_rate):
            _check_values(piece, source)
            total += len(piece)
            yield piece
        if total == 0:
            raise _error("no_samples", source)
        _check_length(total / sample_rate, info, file, source)


def _check_length(seconds: float, info: AudioInfo, file: IO[bytes], source: Source) -> None:
    claimed = info.duration_s or 0.0
    if seconds < claimed * 0.995 - 0.1 and duration_is_counted(info.container, file):
        raise _error("truncated", source, f"{seconds:.2f} of {claimed:.2f} s")


def _resampled(container: Any, channels: int, sample_rate: int) -> Iterator[Samples]:
    """Mono pieces at the target rate. Mono sources go through one resampler, others are mixed down between two."""
    to_rate = av.AudioResampler(format="flt", layout="mono", rate=sample_rate, frame_size=_CHUNK)
    frames = container.decode(container.streams.audio[0])
    if channels > 1:
        frames = _mixed_down(frames, channels)
    for frame in _flushed(frames):
        for out in to_rate.resample(frame):
            yield out.to_ndarray().reshape(-1).astype(np.float32, copy=False)


def _mixed_down(frames: Iterator[Any], channels: int) -> Iterator[Any]:
    """Mono frames at the source's rate: the mean of the channels.

    Interleaved, because PyAV 18.1 crashes the process when it reads the planes of eight or more channels.
    """
    interleave: Any = None
    for frame in _flushed(frames):
        if interleave is None:
            if frame is None:
                return
            interleave = av.AudioResampler(format="flt", layout=frame.layout, rate=frame.rate, frame_size=_CHUNK)
        for packed in interleave.resample(frame):
            mono = packed.to_ndarray().reshape(-1, channels).mean(axis=1, dtype=np.float32)
            mixed = av.AudioFrame.from_ndarray(mono[None], format="flt", layout="mono")
            mixed.sample_rate = packed.sample_rate
            yield mixed


def _flushed(frames: Iterator[Any]) -> Iterator[Any]:
    """The frames, then the None that empties a resampler."""
    for frame in frames:
        frame.pts = None  # gaps and jumps in time stamps must not become silence or errors
        yield frame
    yield None


def _info(container: Any, file: IO[bytes], source: Source) -> AudioInfo:
    if not container.streams.audio:
        raise _error("not_audio", source)
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise _error("unsupported_codec", source)
    rate, channels = stream.codec_context.sample_rate or 0, stream.codec_context.channels or 0
    if rate not in RATES:
        raise _error("unsupported_rate", source, f"{rate} Hz")
    if channels not in CHANNELS:
        raise _error("unsupported_channels", source, f"{channels} channels")
    duration = _claimed_duration(container, stream, file)
    return AudioInfo(container.format.name, stream.codec_context.name, duration, rate, channels)


def _claimed_duration(container: Any, stream: Any, file: IO[bytes]) -> float | None:
    if container.format.name == "wav":
        position = file.tell()
        header = read_wav_header(file)
        file.seek(position)  # libav goes on reading from where it was
        missing = header.missing_share if header else 0.0
        return float(stream.duration * stream.time_base) * (1 + missing) if stream.duration else None
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration is not None else None


@contextmanager
def _opened(source: Source) -> Iterator[tuple[Any, IO[bytes]]]:
    """The open container and its bytes; what libav raises inside the block becomes an `AudioError`."""
    with _bytes_of(source) as file:
        if not file.read(1):
            raise _error("empty", source)
        file.seek(0)
        try:
            container = av.open(file, metadata_errors="replace", io_open=_refuse)
        except (av.FFmpegError, ValueError) as error:
            raise _error(_refusal(file), source, _detail(error)) from error
        with container:
            try:
                yield container, file
            except (av.FFmpegError, ValueError) as error:
                raise _error("corrupt", source, _detail(error)) from error


def _refuse(url: str, flags: int, options: dict[str, str]) -> Any:
    raise PermissionError(f"a recording may not open another file: {url!r}")


@contextmanager
def _bytes_of(source: Source) -> Iterator[IO[bytes]]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    try:
        file = open(source, "rb")  # noqa: SIM115  closed by the with below
    except FileNotFoundError as error:
        raise _error("missing", source) from error
    except (OSError, ValueError) as error:
        raise _error("unreadable", source, str(error)) from error
    with file:
        yield file


def _detail(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _error(reason: str, source: Source, detail: str = "") -> AudioError:
    name = f"{len(source)} bytes" if isinstance(source, bytes) else repr(Path(source).name)
    return AudioError(reason, f"{name}: {REASONS[reason]}" + (f" ({detail})" if detail else ""))


def _refusal(file: IO[bytes]) -> str:
    """Why libav refuses a file whose WAV header can still be read; "not_audio" for all others."""
    header = read_wav_header(file)
    if header is None:
        return "not_audio"
    if header.channels not in CHANNELS:
        return "unsupported_channels"
    return "unsupported_rate" if header.sample_rate not in RATES else "corrupt"


def _check_values(samples: Samples, source: Source) -> None:
    peak = np.abs(samples).max(initial=0.0)
    if not np.isfinite(peak):
        raise _error("non_finite", source)
    if peak > LOUDEST:
        raise _error("out_of_range", source, f"{peak:.3g}")
