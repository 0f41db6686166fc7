"""All frame-level features of a recording as Arrow record batches, in memory that does not grow with its length.

Pitch is decided some frames behind the spectra, so spectra wait for it in a queue. The rows are those of the whole
recording bit for bit, however it is cut into blocks; in theory a stretch without any decision could hold its frames
back for as long as it lasts (about 0.5 kB a frame), in speech it is a second or two.
"""

import os
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from nymph.audio.decode import Samples, Source, decode_blocks
from nymph.audio.framing import HOP, Framer
from nymph.audio.pitch import Pitch, PitchTracker
from nymph.audio.pyin import PitchRange
from nymph.audio.spectrogram import MELS, MFCCS, N_FFT, SpectralFeatures, spectral_features_of

FRAME_SCHEMA = pa.schema(
    [
        pa.field("log_mel", pa.list_(pa.float32(), MELS), nullable=False),
        pa.field("mfcc", pa.list_(pa.float32(), MFCCS), nullable=False),
        pa.field("energy_db", pa.float32(), nullable=False),
        pa.field("f0_hz", pa.float32(), nullable=False),
        pa.field("voiced", pa.bool_(), nullable=False),
        pa.field("voiced_probability", pa.float32(), nullable=False),
    ],
    metadata={"schema": "nymph.frames", "version": "1", "hop_samples": str(HOP), "sample_rate": "16000"},
)
"""One row a frame of 10 ms; row i is centred on sample 160 * i of the recording at 16 kHz."""


def extract_frames(
    source: Source | Iterable[Samples], search_range: PitchRange | None = None
) -> Iterator[pa.RecordBatch]:
    """Frames of a file, or of its blocks of samples at 16 kHz, as record batches of `FRAME_SCHEMA`, none empty.

    Raises `AudioError` as `decode_blocks` does; batches given before it are void.
    """
    blocks = decode_blocks(source) if isinstance(source, str | bytes | os.PathLike) else source
    extractor = _Extractor(search_range)
    for block in blocks:
        yield from extractor.push(np.asarray(block, np.float32))
    yield from extractor.finish()


def frame_table(source: Source | Iterable[Samples], search_range: PitchRange | None = None) -> pa.Table:
    """`extract_frames` in one table, about 2 MB a minute."""
    return pa.Table.from_batches(extract_frames(source, search_range), FRAME_SCHEMA)


class _Extractor:
    """Runs both feature streams over the same samples and pairs their frames."""

    def __init__(self, search_range: PitchRange | None) -> None:
        self._framer = Framer(N_FFT)
        self._tracker = PitchTracker(search_range)
        self._waiting = pa.Table.from_batches([], _SPECTRAL)

    def push(self, samples: Samples) -> Iterator[pa.RecordBatch]:
        return self._pair(map(spectral_features_of, self._framer.push(samples)), self._tracker.push(samples))

    def finish(self) -> Iterator[pa.RecordBatch]:
        return self._pair(map(spectral_features_of, self._framer.finish()), self._tracker.finish())

    def _pair(self, spectra: Iterator[SpectralFeatures], pitches: Iterator[Pitch]) -> Iterator[pa.RecordBatch]:
        tables = [pa.Table.from_batches([_spectral_batch(part)]) for part in spectra]
        self._waiting = pa.concat_tables([self._waiting, *tables])
        decided = _pitch_table(list(pitches))
        ready = self._waiting.slice(0, len(decided)).combine_chunks()
        self._waiting = self._waiting.slice(len(decided))
        columns = [*ready.columns, *decided.columns]
        yield from pa.Table.from_arrays(columns, schema=FRAME_SCHEMA).to_batches()


_SPECTRAL = pa.schema([FRAME_SCHEMA.field(i) for i in range(3)])
_PITCH = pa.schema([FRAME_SCHEMA.field(i) for i in range(3, 6)])


def _spectral_batch(part: SpectralFeatures) -> pa.RecordBatch:
    mel = pa.FixedSizeListArray.from_arrays(part.log_mel.reshape(-1), MELS)
    mfcc = pa.FixedSizeListArray.from_arrays(part.mfcc.reshape(-1), MFCCS)
    return pa.record_batch([mel, mfcc, pa.array(part.energy_db)], schema=_SPECTRAL)


def _pitch_table(parts: list[Pitch]) -> pa.Table:
    arrays = [[part.f0_hz, part.voiced, part.voiced_probability] for part in parts]
    batches = [pa.record_batch([pa.array(array) for array in part], schema=_PITCH) for part in arrays]
    return pa.Table.from_batches(batches, _PITCH).combine_chunks()
