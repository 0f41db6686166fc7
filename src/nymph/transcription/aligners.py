"""Which aligner a configuration asks for in a language."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Protocol

from nymph.transcription.blocks import Samples
from nymph.transcription.config import TranscriptionConfig
from nymph.transcription.schema import Word


class Aligner(Protocol):
    """What places known words in speech."""

    def align(self, samples: Samples, words: Sequence[Word]) -> list[Word]:
        """The words of a chunk of speech [n] at 16 kHz, with times in seconds from its start."""


def aligners(config: TranscriptionConfig, device: str) -> Callable[[str], Aligner | None]:
    """A function from a language to its aligner; None where Whisper's own times stay. Loads each aligner once.

    A wav2vec2 model for a language named in `config` is loaded at once, so that a wrong name fails before any work.
    """

    @cache
    def aligner(language: str) -> Aligner | None:
        if config.alignment in ("attention", "none"):
            return None
        if config.alignment == "pocketsphinx":
            return _english() if language == "en" else None
        from nymph.transcription.wav2vec import Wav2vecAligner

        return Wav2vecAligner(config.alignment, language, device)

    if config.language:
        aligner(config.language)
    return aligner


def _english() -> Aligner:
    from nymph.transcription.forced import EnglishAligner

    return EnglishAligner()
