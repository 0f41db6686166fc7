"""WhisperX behind one call: a recording in, a table of timed utterances out.

Everything heavy is imported by `load_transcriber`, so options can be read and checked in milliseconds. Samples are
handed over as arrays: neither an ffmpeg binary nor torchcodec is needed. A recording is transcribed block by block, so
a ten-hour file needs the memory of `block_s` seconds; language detection listens to the first block only.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from nymph.errors import NymphError
from nymph.transcription.aligners import Aligner, aligners
from nymph.transcription.blocks import Samples, cut_blocks
from nymph.transcription.config import SAMPLE_RATE, TranscriptionConfig
from nymph.transcription.diarization import diarizers
from nymph.transcription.models import is_english_only, whisper_model
from nymph.transcription.quiet import quiet_loading, quiet_warnings
from nymph.transcription.schema import Utterance, Word, transcript_table
from nymph.transcription.speakers import Diarizer
from nymph.transcription.utterances import split_utterances

Source = str | os.PathLike[str] | Samples | Iterable[Samples]
"""A file, mono float32 samples at 16 kHz [n], or a stream of such pieces."""


@dataclass(frozen=True)
class Transcriber:
    """Loaded models; `transcribe` may be called for any number of recordings, one at a time."""

    config: TranscriptionConfig
    whisper: Any
    """`nymph.transcription.whisper.AligningWhisper`."""
    pipeline: Any
    """WhisperX's pipeline around it."""
    aligner_of: Callable[[str], Aligner | None]
    """The aligner of a language; None keeps Whisper's own times."""
    new_diarizer: Callable[[], Diarizer | None]
    """Makes a diarizer that knows nobody yet."""

    def transcribe(self, source: Source) -> pa.Table:
        """Utterances of a recording as rows of `TRANSCRIPT_SCHEMA`; no rows where nobody speaks.

        Raises `NymphError` for a file that cannot be decoded and for samples of a wrong shape or type.
        """
        return transcript_table(self._utterances(_pieces(source)))

    def _utterances(self, pieces: Iterable[Samples]) -> Iterator[Utterance]:
        language = self.config.language
        diarizer = self.new_diarizer()
        for offset, block in cut_blocks(pieces, self.config.block_s):
            chunks, heard = self._timed_chunks(block, language)
            language = heard if chunks else language  # nobody can tell a language from silence
            said = [Utterance(words, heard) for chunk in chunks for words in self._split(chunk)]
            for utterance in diarizer.assign(block, said) if diarizer else said:
                yield utterance.shifted(offset)

    def _split(self, words: list[Word]) -> Iterator[tuple[Word, ...]]:
        return split_utterances(words, self.config.pause_s, self.config.utterance_s)

    def _timed_chunks(self, block: Samples, language: str | None) -> tuple[list[list[Word]], str]:
        """Words of each speech chunk, in seconds from the block's start, and the language heard."""
        with quiet_warnings():
            result = self.pipeline.transcribe(
                block, batch_size=self.config.batch_size, language=language, chunk_size=self.config.chunk_s
            )
        spans = [(segment["start"], segment["end"]) for segment in result["segments"]]
        aligner = self.aligner_of(result["language"])
        chunks = []
        for (start, end), words in zip(spans, self.whisper.take_words(), strict=True):
            speech = block[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
            placed = aligner.align(speech, words) if aligner and words else words
            chunks.append([word.shifted(start) for word in placed])
        return chunks, result["language"]


def load_transcriber(config: TranscriptionConfig) -> Transcriber:
    """Load Whisper and the VAD that `config` names.

    Raises `NymphError` where a model is missing, or CUDA is asked for and not there.
    """
    model = whisper_model(config.model)
    device = _device(config.device)
    language = "en" if is_english_only(config.model) else config.language
    config = config.model_copy(update={"language": language})
    aligner_of = aligners(config, device)
    new_diarizer = diarizers(config, device)
    with quiet_loading():
        import whisperx

        from nymph.transcription.whisper import AligningWhisper

        whisper = AligningWhisper(
            model,
            align=config.alignment != "none",
            device=device,
            compute_type=_compute_type(config.compute_type, device),
            cpu_threads=config.threads or _threads(),
        )
        pipeline = whisperx.load_model(
            model,
            device,
            model=whisper,
            language=language,
            vad_model=_silero(config) if config.vad == "silero" else None,
            vad_options={"chunk_size": config.chunk_s, "vad_onset": config.vad_onset, "vad_offset": config.vad_offset},
            asr_options={"beam_size": config.beam_size},
        )
    return Transcriber(config, whisper, pipeline, aligner_of, new_diarizer)


def _threads() -> int:
    """The threads that this process was told to take, as the workers of an engine are; else its cores."""
    return int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))


def _silero(config: TranscriptionConfig) -> Any:
    from nymph.transcription.silero import SileroOnnx

    return SileroOnnx(config.vad_onset, config.vad_offset, config.chunk_s)


def _device(wanted: str) -> str:
    import ctranslate2

    cards = ctranslate2.get_cuda_device_count()
    if wanted == "cuda" and not cards:
        raise NymphError("expected a CUDA device for transcription, found none: set device to 'auto' or 'cpu'")
    return "cuda" if cards and wanted != "cpu" else "cpu"


def _compute_type(wanted: str, device: str) -> str:
    return wanted if wanted != "auto" else {"cuda": "float16"}.get(device, "int8")


def _pieces(source: Source) -> Iterable[Samples]:
    if isinstance(source, str | os.PathLike):
        from nymph.audio.decode import decode_blocks

        return decode_blocks(source)
    return [_checked(source)] if isinstance(source, np.ndarray) else (_checked(piece) for piece in source)


def _checked(samples: Samples) -> Samples:
    if samples.ndim != 1 or samples.dtype != np.float32:
        raise NymphError(
            f"expected mono float32 samples [n] at 16 kHz, got {samples.dtype} {list(samples.shape)}: "
            "decode with nymph.audio.decode"
        )
    return samples
