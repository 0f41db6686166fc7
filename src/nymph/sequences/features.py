"""Frames to the features of positions: mel patches and prosody over spans of time, standardised.

A position takes 8 frames spread over its span, whatever its length: the shape of its sound survives, its duration
does not (the rate and the span's times carry that). Audio positions without units span just 8 frames, 80 ms.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nymph.sequences.schema import FRAMES_PER_PATCH, PATCH, PROSODY, SECONDS_PER_FRAME
from nymph.sequences.statistics import FeatureStatistics, frame_matrix, frame_prosody

_LIMIT = 10.0
"""Standardised values beyond this many deviations are clipped; also keeps digital silence inside float16."""
_OFFSETS = (np.arange(FRAMES_PER_PATCH) + 0.5) / FRAMES_PER_PATCH


class SpanFeatures:
    """The frames of one utterance, asked for by spans of recording time. F frames."""

    def __init__(
        self, table: pa.Table, first_frame: int, rates: NDArray[np.float64], statistics: FeatureStatistics
    ) -> None:
        """`rates` are the utterance's `frame_rates` [F]."""
        mean, deviation = np.array(statistics.mel_mean, np.float32), np.array(statistics.mel_deviation, np.float32)
        mel = (frame_matrix(table) - mean) / deviation
        self._mel = np.clip(np.nan_to_num(mel, nan=-_LIMIT), -_LIMIT, _LIMIT).astype(np.float16)
        self._sums, self._counts = _prefix_sums(_standardised_prosody(table, rates, statistics))
        self.first_frame = first_frame
        self.frames = len(self._mel)

    def patches(
        self, edges: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float16], NDArray[np.float16], NDArray[np.float32]]:
        """Consecutive sounds: mel patch [k,640], prosody [k,4] and seconds [k,2] of each.

        `edges` [k+1] are their frames, by default every 80 ms; a patch takes 8 frames spread over its sound. Beyond
        the end the last frame stands in.
        """
        cuts = patch_edges(self.frames) if edges is None else edges
        audio = self._mel[np.minimum(_spread(cuts[:-1], cuts[1:]), self.frames - 1)].reshape(-1, PATCH)
        inside = np.minimum(cuts, self.frames)
        seconds = (self.first_frame + np.stack([inside[:-1], inside[1:]], 1)) * SECONDS_PER_FRAME
        return audio, self._means(inside[:-1], inside[1:]), seconds.astype(np.float32)

    def spans(self, seconds: NDArray[np.float32]) -> tuple[NDArray[np.float16], NDArray[np.int64], NDArray[np.float16]]:
        """For spans of seconds [n,2]: patches [k,640], the spans [k] that have one, and prosody [n,4].

        Spans that are NaN or lie outside the frames have neither.
        """
        prosody = np.full((len(seconds), PROSODY), np.nan, np.float16)
        known = np.flatnonzero(np.isfinite(seconds).all(1))
        edges = np.rint(seconds[known] / SECONDS_PER_FRAME).astype(np.int64) - self.first_frame
        start, stop = np.clip(edges[:, 0], 0, self.frames), np.clip(edges[:, 1], 0, self.frames)
        stop = np.where((edges[:, 0] >= 0) & (edges[:, 0] < self.frames), np.maximum(stop, start + 1), stop)
        inside = stop > start
        known, start, stop = known[inside], start[inside], stop[inside]
        prosody[known] = self._means(start, stop)
        return self._mel[_spread(start, stop)].reshape(-1, PATCH), known, prosody

    def _means(self, start: NDArray[Any], stop: NDArray[Any]) -> NDArray[np.float16]:
        count = self._counts[stop] - self._counts[start]
        total = self._sums[stop] - self._sums[start]
        return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float16)


def patch_edges(frames: int, length: int = FRAMES_PER_PATCH) -> NDArray[np.int64]:
    """The first frame of each patch of `length` frames, and the end of the last, which may lie beyond the frames."""
    return np.arange(-(-frames // length) + 1) * length


def patch_means(table: pa.Table, length: int = FRAMES_PER_PATCH, column: str = "log_mel") -> NDArray[np.float32]:
    """The mean of every `length` frames of a column of vectors, as they were measured [k,size]."""
    values = frame_matrix(table, column)
    index = np.minimum(np.arange(patch_edges(len(values), length)[-1]), len(values) - 1)
    return values[index].reshape(-1, length, values.shape[1]).mean(1, dtype=np.float32)


def _spread(start: NDArray[np.int64], stop: NDArray[np.int64]) -> NDArray[np.int64]:
    """8 frames evenly from each span [k,8]; the frames themselves where a span has just 8."""
    return start[:, None] + ((stop - start)[:, None] * _OFFSETS).astype(np.int64)


def _standardised_prosody(
    table: pa.Table, rates: NDArray[np.float64], statistics: FeatureStatistics
) -> NDArray[np.float64]:
    values = (frame_prosody(table, rates) - np.array(statistics.prosody_mean)) / np.array(statistics.prosody_deviation)
    return np.clip(values, -_LIMIT, _LIMIT)


def _prefix_sums(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sums and counts of the known values before each frame [F+1, 4], so that any span's mean is two look-ups."""
    known = np.isfinite(values)
    zero = np.zeros((1, values.shape[1]))
    sums = np.concatenate([zero, np.cumsum(np.where(known, values, 0.0), 0)])
    return sums, np.concatenate([zero, np.cumsum(known, 0)]).astype(np.int64)
