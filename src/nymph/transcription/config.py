"""What a transcriber is made of: one frozen, checked value that a stage can hash."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

SAMPLE_RATE = 16_000
"""Hz; the only rate Whisper, the VADs and the aligners know."""


class TranscriptionConfig(BaseModel):
    """Options of `nymph.transcription.engine.load_transcriber`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = "offline-tiny-en"
    """`offline-tiny-en` (packaged), a folder with a CTranslate2 Whisper, or a hub id such as `large-v3`."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where Whisper and the VAD run; `auto` takes CUDA where CTranslate2 finds a card."""
    compute_type: Literal["auto", "int8", "int8_float16", "float16", "float32"] = "auto"
    """Arithmetic of Whisper; `auto` is float16 on CUDA and int8 on a CPU."""
    language: str | None = Field(default=None, pattern=r"^[a-z]{2,3}$")
    """ISO 639-1 code of the speech; null detects it once per recording (English-only models are always `en`)."""
    batch_size: int = Field(default=8, ge=1, le=256)
    """Speech chunks decoded together."""
    beam_size: int = Field(default=5, ge=1, le=20)
    """Hypotheses kept while decoding; 1 is greedy."""
    threads: int = Field(default=0, ge=0, le=256)
    """CPU threads of Whisper; 0 takes the cores this process may use."""
    vad: Literal["silero", "pyannote"] = "silero"
    """Voice activity detector: Silero in ONNX, or pyannote's (WhisperX's default, over ten times the CPU time)."""
    vad_onset: float = Field(default=0.5, gt=0, lt=1)
    """Speech probability above which speech begins."""
    vad_offset: float = Field(default=0.363, gt=0, lt=1)
    """Speech probability below which speech ends."""
    chunk_s: float = Field(default=30.0, ge=5, le=30)
    """Seconds; the longest piece of speech given to Whisper at once."""
    block_s: float = Field(default=240.0, ge=60, le=3600)
    """Seconds of audio held in memory at a time; longer recordings are cut at a quiet moment."""
    alignment: str = "pocketsphinx"
    """Word times: `pocketsphinx` (English; `attention` elsewhere), `attention` (Whisper's own, faster and coarser),
    `none` (spread by word length), or a folder or hub id of a wav2vec2 CTC model for `whisperx.align`."""
    pause_s: float = Field(default=0.7, gt=0)
    """Seconds; a pause between words at least this long begins a new utterance."""
    utterance_s: float = Field(default=15.0, ge=1)
    """Seconds; an utterance longer than this is cut at its longest pause."""
    speakers: Literal["voices", "pyannote", "none"] = "voices"
    """Who speaks: clustered speaker vectors (offline), pyannote's gated pipeline, or nobody asks."""
    speaker_distance: float = Field(default=0.28, gt=0, lt=2)
    """Cosine distance between mean speaker vectors above which two voices are two people (`voices` alone)."""
    diarization_model: str = "pyannote/speaker-diarization-community-1"
    """Hub id or folder of the pipeline that `speakers: pyannote` uses."""

    @model_validator(mode="after")
    def _hysteresis(self) -> Self:
        if self.vad_offset > self.vad_onset:
            raise ValueError(f"vad_offset must not exceed vad_onset {self.vad_onset}, got {self.vad_offset}")
        return self
