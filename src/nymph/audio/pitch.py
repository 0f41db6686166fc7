"""Fundamental frequency and voicing at 10 ms frames: what `librosa.pyin` gives, for a stream and far faster.

`PitchTracker` takes a recording in blocks and gives each frame when no later sound can change it; all together are
exactly what the whole recording gives, because the search hands out only what all of its living paths share.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nymph.audio.framing import Framer, Samples
from nymph.audio.pyin import CandidateFinder, PitchRange
from nymph.audio.viterbi import UNVOICED, TrackSearch


@dataclass(frozen=True)
class Pitch:
    """Frame i is centred on sample 160 * i."""

    f0_hz: npt.NDArray[np.float32]
    """[frames], NaN where unvoiced."""
    voiced: npt.NDArray[np.bool_]
    """[frames], of the most likely track."""
    voiced_probability: npt.NDArray[np.float32]
    """[frames], of the frame by itself."""

    def __len__(self) -> int:
        return len(self.voiced)


class PitchTracker:
    """Pitch of one recording that comes in blocks of samples at 16 kHz."""

    def __init__(self, search_range: PitchRange | None = None) -> None:
        search_range = search_range or PitchRange()
        self._framer = Framer(search_range.frame_length)
        self._find = CandidateFinder(search_range)
        self._search = TrackSearch(search_range.bins)
        self._hertz = search_range.frequencies()
        self._probability = np.zeros(0)

    def push(self, samples: Samples) -> Iterator[Pitch]:
        """Take more samples; give the frames they decide, in order."""
        yield from map(self._track, self._framer.push(samples))

    def finish(self) -> Iterator[Pitch]:
        """Give all remaining frames."""
        yield from map(self._track, self._framer.finish())
        yield self._pitch(self._search.finish())

    def _track(self, frames: Samples) -> Pitch:
        candidates = self._find(frames)
        self._probability = np.concatenate([self._probability, candidates.voiced_probability])
        return self._pitch(self._search.push(candidates))

    def _pitch(self, bins: npt.NDArray[np.int64]) -> Pitch:
        voiced = bins != UNVOICED
        f0 = np.where(voiced, self._hertz[bins], np.nan).astype(np.float32)
        probability, self._probability = np.split(self._probability, [len(bins)])
        return Pitch(f0, voiced, probability.astype(np.float32))


def pitch(samples: Samples, search_range: PitchRange | None = None) -> Pitch:
    """Pitch of [samples] at 16 kHz: `librosa.pyin` with hop 160 and the same range, frame by frame."""
    tracker = PitchTracker(search_range)
    parts = [*tracker.push(np.asarray(samples, np.float32)), *tracker.finish()]
    return Pitch(
        np.concatenate([part.f0_hz for part in parts]),
        np.concatenate([part.voiced for part in parts]),
        np.concatenate([part.voiced_probability for part in parts]),
    )
