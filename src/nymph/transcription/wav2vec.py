"""Word times from a wav2vec2 CTC model through `whisperx.align`, for any language that has such a model.

WhisperX asks NLTK for downloaded sentence data only to cut text into sentences. Nymph cuts utterances itself, so an
untrained splitter stands in and nothing is fetched.
"""

import importlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from nymph.errors import NymphError
from nymph.transcription.blocks import Samples
from nymph.transcription.config import SAMPLE_RATE
from nymph.transcription.quiet import quiet_loading
from nymph.transcription.schema import Word


class Wav2vecAligner:
    """Places known words in speech with a wav2vec2 model; words it cannot place are `interpolated`."""

    def __init__(self, model: str, language: str, device: str) -> None:
        """Load a folder or hub id. Raises `NymphError` where it is missing or no wav2vec2 CTC model."""
        self._device = device
        try:
            with quiet_loading():
                alignment: Any = importlib.import_module("whisperx.alignment")
                self._model, self._metadata = alignment.load_align_model(language, device, model)
        except Exception as error:  # whisperx hides what happened behind a ValueError or lets the hub's errors through
            raise NymphError(
                f"expected a wav2vec2 CTC model, got {model!r} ({type(error).__name__}): name a folder, a hub id this "
                "machine can reach, or one of the alignments pocketsphinx, attention, none"
            ) from error
        alignment.nltk_load = _untrained_splitter
        self._align = alignment.align

    def align(self, samples: Samples, words: Sequence[Word]) -> list[Word]:
        """The words of a chunk of speech [n] at 16 kHz with times in seconds from its start."""
        text = " ".join(word.word for word in words)
        chunk = {"text": text, "start": 0.0, "end": samples.size / SAMPLE_RATE}
        result = self._align([chunk], self._model, self._metadata, samples, self._device)
        found = [part for segment in result["segments"] for part in segment["words"]]
        if len(found) != len(words):
            return list(words)
        return [_placed(word, part) for word, part in zip(words, found, strict=True)]


def _placed(word: Word, part: dict[str, Any]) -> Word:
    start, end = part.get("start", math.nan), part.get("end", math.nan)
    if not (math.isfinite(start) and math.isfinite(end)):
        return replace(word, timing="interpolated")
    return replace(word, start=float(start), end=float(end), timing="aligned" if "score" in part else "interpolated")


def _untrained_splitter(_: str) -> Any:
    from nltk.tokenize.punkt import PunktSentenceTokenizer

    return PunktSentenceTokenizer()
