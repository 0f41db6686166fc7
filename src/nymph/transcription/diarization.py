"""Which diarizer a configuration asks for, loaded before any work starts.

`voices` needs nothing but installed wheels. `pyannote` is WhisperX's own diarization; its models are gated, so a
missing token or an unaccepted licence is found here, with the page to accept.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np

from nymph.errors import NymphError
from nymph.transcription.blocks import Samples
from nymph.transcription.config import TranscriptionConfig
from nymph.transcription.quiet import quiet_loading
from nymph.transcription.schema import Utterance, Word
from nymph.transcription.speakers import Diarizer, SpeakerRegistry, VoiceDiarizer


def diarizers(config: TranscriptionConfig, device: str) -> Callable[[], Diarizer | None]:
    """A maker of diarizers, one for each recording, which share the loaded models. Raises `NymphError`."""
    if config.speakers == "none":
        return lambda: None
    if config.speakers == "pyannote":
        pipeline = load_pyannote(config.diarization_model, device)
        return lambda: PyannoteDiarizer(pipeline, SpeakerRegistry(config.speaker_distance))
    from nymph.audio.speaker import SpeakerEncoder

    encoder = SpeakerEncoder.load(device=device)
    return lambda: VoiceDiarizer(encoder, SpeakerRegistry(config.speaker_distance), config.speaker_distance)


def check_pyannote(model: str) -> None:
    """Ask whether `load_pyannote` may have a model, without loading it.

    Raises:
        NymphError: no such folder or, for a hub id, neither a copy in the hub's cache nor leave to download it.
    """
    import huggingface_hub

    if os.path.isdir(model) or isinstance(huggingface_hub.try_to_load_from_cache(model, "config.yaml"), str):
        return
    try:
        huggingface_hub.auth_check(model, token=os.environ.get("HF_TOKEN"))
    except (OSError, ValueError) as error:  # gated, no such model, offline, no network
        raise _refused(model, error) from error


def load_pyannote(model: str, device: str) -> Any:
    """WhisperX's diarization pipeline. Raises `NymphError` naming the page to accept where the model is gated."""
    try:
        with quiet_loading():
            from whisperx.diarize import DiarizationPipeline

            return DiarizationPipeline(model_name=model, token=os.environ.get("HF_TOKEN"), device=device)
    except Exception as error:  # hub, network, licence and format errors have no common class
        raise _refused(model, error) from error


def _refused(model: str, error: Exception) -> NymphError:
    token = "set" if os.environ.get("HF_TOKEN") else "not set"
    licence = f"Accept its licence at https://hf.co/{model}, set HF_TOKEN (now {token}) and HF_HUB_OFFLINE=0"
    remedy = "Name the folder of a whole pyannote pipeline" if os.path.isdir(model) else licence
    return NymphError(
        f"expected the diarization model {model!r}, got {type(error).__name__}. {remedy}, or use speakers: voices"
    )


@dataclass
class PyannoteDiarizer:
    """Gives each word the speaker who talks most during it, and cuts utterances where the speaker changes."""

    pipeline: Any
    registry: SpeakerRegistry

    def assign(self, block: Samples, utterances: Sequence[Utterance]) -> Sequence[Utterance]:
        """The utterances with speakers, split where one utterance has several."""
        turns, vectors = self.pipeline(block, return_embeddings=True)
        seconds = (turns["end"] - turns["start"]).groupby(turns["speaker"]).sum()
        names: dict[str, str] = {}
        for label, vector in (vectors or {}).items():
            heard = float(seconds.get(label, 0.0))
            voice = np.nan_to_num(np.asarray(vector, np.float32))  # who is never heard alone has none: somebody new
            names[label] = self.registry.identify(voice, heard, names.values())
        spans = [(turn.start, turn.end, names.get(turn.speaker, turn.speaker)) for turn in turns.itertuples()]
        return [part for said in utterances for part in _by_speaker(said, spans)]


def _by_speaker(said: Utterance, spans: Sequence[tuple[float, float, str]]) -> list[Utterance]:
    runs = groupby(said.words, key=lambda word: _speaker_of(word, spans))
    return [replace(said, words=tuple(words), speaker=speaker) for speaker, words in runs]


def _speaker_of(word: Word, spans: Sequence[tuple[float, float, str]]) -> str | None:
    """Who talks most during a word; None where nobody does."""
    shared: defaultdict[str, float] = defaultdict(float)
    for start, end, speaker in spans:
        shared[speaker] += max(0.0, min(end, word.end) - max(start, word.start))
    best = max(shared, key=lambda speaker: shared[speaker], default=None)
    return best if best is not None and shared[best] > 0 else None
