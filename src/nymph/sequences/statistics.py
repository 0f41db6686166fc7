"""Means and deviations that standardise features, from the training corpus, kept in the rows' schema metadata.

Sums in float64 in one pass: exact enough for decibels and log-hertz, and nothing but 170 numbers stays in memory.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nymph.audio.prosody import Prosody
from nymph.errors import NymphError
from nymph.sequences.schema import MEL_BINS, PROSODY, SECONDS_PER_FRAME, STATISTICS_KEY

_LEAST_DEVIATION = 1e-3
"""A constant feature is left as it is rather than blown up."""
_RATE = "rate_syllables_per_s"
_RATE_OF_WORD = list(Prosody.__dataclass_fields__).index(_RATE)
"""Where a word's prosody, a list in the order of `Prosody`'s fields, has its rate."""


@dataclass(frozen=True)
class FeatureStatistics:
    """What standardises a mel bin and a prosody value: (value - mean) / deviation.

    The defaults serve a corpus without audio: a speaking voice of 150 Hz, -30 dB and four syllables a second.
    """

    mel_mean: tuple[float, ...] = (0.0,) * MEL_BINS
    mel_deviation: tuple[float, ...] = (1.0,) * MEL_BINS
    prosody_mean: tuple[float, ...] = (5.0, 0.5, -30.0, 4.0)
    """log-F0 (ln Hz), voiced share, energy (dB), rate (syllables/s)."""
    prosody_deviation: tuple[float, ...] = (0.35, 0.5, 12.0, 1.5)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> "FeatureStatistics":
        """The statistics that `to_json` wrote."""
        return cls(**{name: tuple(values) for name, values in json.loads(text).items()})


def fit_statistics(spans: Iterable[tuple[pa.Table, NDArray[np.float64]]]) -> FeatureStatistics:
    """Statistics of frame tables, each with the `frame_rates` of its utterance.

    Features that never occur keep the defaults.
    """
    mel, prosody = _Moments(MEL_BINS), _Moments(PROSODY)
    for table, rates in spans:
        mel.add(frame_matrix(table))
        prosody.add(frame_prosody(table, rates))
    plain = FeatureStatistics()
    return FeatureStatistics(
        *mel.result(plain.mel_mean, plain.mel_deviation),
        *prosody.result(plain.prosody_mean, plain.prosody_deviation),
    )


def statistics_of(schema: pa.Schema) -> FeatureStatistics:
    """What standardised the features of a table of rows; NymphError where it does not say."""
    stored = (schema.metadata or {}).get(STATISTICS_KEY)
    if stored is None:
        raise NymphError("the rows do not say how their features were standardised; run the parquet pipeline again")
    return FeatureStatistics.from_json(stored)


def frame_matrix(table: pa.Table, column: str = "log_mel") -> NDArray[Any]:
    """A column of vectors, such as log-mel frames, as a matrix [frames, size]."""
    values = table[column].combine_chunks()
    return values.flatten().to_numpy().reshape(-1, values.type.list_size)


def frame_rates(utterance: Mapping[str, Any]) -> NDArray[np.float64]:
    """Syllables a second at each frame of an utterance: its word's, between words its own; NaN where unknown."""
    frames = utterance["frames"]
    own = (utterance.get("prosody") or {}).get(_RATE)
    rates = np.full(frames["stop"] - frames["start"], np.nan if own is None else own)
    for word in utterance.get("words") or ():
        prosody = word.get("prosody")
        if prosody and prosody[_RATE_OF_WORD] is not None and word["start"] is not None and word["end"] is not None:
            first, stop = (max(0, round(word[edge] / SECONDS_PER_FRAME) - frames["start"]) for edge in ("start", "end"))
            rates[first:stop] = prosody[_RATE_OF_WORD]
    return rates


def frame_prosody(table: pa.Table, rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """log-F0, voiced, energy and rate of each frame [frames, 4], NaN absent."""
    voiced = table["voiced"].to_numpy()
    f0 = table["f0_hz"].to_numpy()
    result = np.full((len(voiced), PROSODY), np.nan)
    pitched = voiced & (f0 > 0)
    result[pitched, 0] = np.log(f0[pitched])
    result[:, 1] = voiced
    energy = table["energy_db"].to_numpy()
    result[:, 2] = np.where(np.isfinite(energy), energy, np.nan)
    result[:, 3] = rates
    return result


class _Moments:
    """Count, sum and sum of squares of columns, NaN and infinity left out."""

    def __init__(self, width: int) -> None:
        self.count, self.total, self.squares = np.zeros(width), np.zeros(width), np.zeros(width)

    def add(self, values: NDArray[Any]) -> None:
        known = np.isfinite(values)
        clean = np.where(known, values, 0.0).astype(np.float64)
        self.count += known.sum(0)
        self.total += clean.sum(0)
        self.squares += (clean**2).sum(0)

    def result(
        self, mean: tuple[float, ...], deviation: tuple[float, ...]
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        seen, count = self.count > 0, np.maximum(self.count, 1)
        means = self.total / count
        spread = np.sqrt(np.maximum(self.squares / count - means**2, 0))
        spread = np.where(spread < _LEAST_DEVIATION, 1.0, spread)
        return _rounded(np.where(seen, means, mean)), _rounded(np.where(seen, spread, deviation))


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    """Six significant digits: as many as float16 features can use, and a metadata line a person can read."""
    return tuple(float(f"{value:.6g}") for value in values)
