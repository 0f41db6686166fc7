"""Silero VAD for WhisperX in ONNX, as faster-whisper packages it: under a tenth of the CPU time of pyannote's.

WhisperX's own Silero option fetches code from a hub. This one runs the packaged network, and unlike pyannote's
checkpoint nothing is unpickled. It marks pauses with a resolution of 32 ms.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from faster_whisper.vad import VadOptions, get_speech_timestamps
from whisperx.diarize import Segment
from whisperx.vads import Vad

from nymph.transcription.config import SAMPLE_RATE


class SileroOnnx(Vad):
    """Speech segments of at most `chunk_s` seconds; onset and offset are speech probabilities."""

    def __init__(self, onset: float, offset: float, chunk_s: float) -> None:
        super().__init__(onset)
        self._options = VadOptions(
            threshold=onset,
            neg_threshold=offset,
            min_speech_duration_ms=100,
            max_speech_duration_s=chunk_s,
            min_silence_duration_ms=100,
            speech_pad_ms=100,
        )

    def __call__(self, audio: Mapping[str, Any]) -> list[Segment]:
        """Speech in `audio["waveform"]`, float32 [n] at 16 kHz, as segments in seconds."""
        found = get_speech_timestamps(audio["waveform"], self._options)
        return [Segment(part["start"] / SAMPLE_RATE, part["end"] / SAMPLE_RATE, "UNKNOWN") for part in found]

    @staticmethod
    def preprocess_audio(audio: np.ndarray) -> np.ndarray:
        """The samples as they are."""
        return audio

    @staticmethod
    def merge_chunks(
        segments: list[Segment], chunk_size: float, onset: float, offset: float | None = None
    ) -> list[Any]:
        """Neighbouring segments joined into chunks of at most `chunk_size` seconds, as WhisperX does."""
        merged: list[Any] = Vad.merge_chunks(segments, chunk_size, onset, offset) if segments else []
        return merged
