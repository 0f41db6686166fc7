"""WhisperX's batched Whisper with word times from the decoder's own cross-attention.

The encoder's output is there when a batch was decoded, so one forced pass of the decoder and dynamic time warping over
its alignment heads time every word for about 3 % more CPU (the method of https://github.com/openai/whisper/pull/869).
WhisperX returns text alone; the words of each chunk wait here, in order, until `take_words` fetches them.
"""

from collections.abc import Sequence
from typing import Any

import torch
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import TranscriptionOptions, merge_punctuations
from whisperx.asr import WhisperModel

from nymph.transcription.schema import Word
from nymph.transcription.timing import mend_times, spread_words

_FRAMES_PER_SECOND = 100


class AligningWhisper(WhisperModel):
    """`whisperx.asr.WhisperModel` that also keeps timed words of every chunk it decodes."""

    def __init__(self, *args: Any, align: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._align = align
        self._encoded: Any = None
        self._words: list[list[Word]] = []

    def encode(self, features: Any) -> Any:
        """Encode log-mel chunks, remembering the result for the alignment that follows."""
        self._encoded = super().encode(features)
        return self._encoded

    def generate_segment_batched(
        self, features: Any, tokenizer: Tokenizer, options: TranscriptionOptions, encoder_output: Any = None
    ) -> dict[str, Any]:
        """Decode log-mel chunks [B, mels, 3000] as WhisperX does, then time their words."""
        output: dict[str, Any] = super().generate_segment_batched(features, tokenizer, options, encoder_output)
        frames = content_frames(features)
        if self._align:
            self._words += self._aligned_words(output["text"], frames, tokenizer, options)
        else:
            self._words += [
                spread_words(t, n / _FRAMES_PER_SECOND) for t, n in zip(output["text"], frames, strict=True)
            ]
        self._encoded = None
        return output

    def take_words(self) -> list[list[Word]]:
        """Words of the chunks decoded since the last call, times in seconds from each chunk's start."""
        words, self._words = self._words, []
        return words

    def _aligned_words(
        self, texts: Sequence[str], frames: list[int], tokenizer: Tokenizer, options: TranscriptionOptions
    ) -> list[list[Word]]:
        tokens = [tokenizer.tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        found = self.find_alignment(tokenizer, tokens, self._encoded, frames)  # type: ignore[arg-type]
        words = []
        for alignment, count in zip(found, frames, strict=True):
            merge_punctuations(alignment, options.prepend_punctuations, options.append_punctuations)
            words.append(
                mend_times([_word(part) for part in alignment if part["word"].strip()], count / _FRAMES_PER_SECOND)
            )
        return words


def content_frames(features: torch.Tensor) -> list[int]:
    """Frames before the padding of each log-mel chunk [B, mels, 3000]: padding sits exactly at the chunk's floor."""
    floor = features.amin(dim=(1, 2), keepdim=True)
    filled = (features > floor).any(dim=1)
    positions = torch.arange(1, filled.shape[1] + 1, device=filled.device)
    return [max(2, int(last)) for last in (filled * positions).amax(dim=1)]


def _word(part: dict[str, Any]) -> Word:
    start, end = float(part["start"]), float(part["end"])
    return Word(part["word"].strip(), start, end, float(part["probability"]), "aligned")
