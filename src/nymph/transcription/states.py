"""What a speech encoder makes of sound: a state for each 40 ms, from which audio units may be learned.

Two kinds of encoders: Whisper's in CTranslate2 format, such as the packaged one, and whatever speech encoder
`transformers` knows (HuBERT, WavLM, wav2vec 2.0, Whisper). Sound goes through in windows of 30 s, Whisper's own: a
state near the edge of one does not hear beyond it.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nymph.audio.decode import SAMPLE_RATE, Samples, Source, decode_blocks
from nymph.errors import NymphError
from nymph.sequences.states import FRAMES_PER_STATE, state_schema
from nymph.transcription.models import OFFLINE_WHISPER, whisper_model
from nymph.transcription.quiet import quiet_loading

WINDOW_S = 30.0
SAMPLES_PER_STATE = SAMPLE_RATE * FRAMES_PER_STATE // 100
_PER_STATE = 2
"""States of 20 ms, as all these encoders give them, in one that is kept."""

Encoder = Callable[[Samples], NDArray[np.float32]]
"""At most 30 s of mono samples at 16 kHz to states of 20 ms [n,D]."""


def extract_states(sound: Source | Iterable[Samples], encoder: Encoder) -> pa.RecordBatchReader:
    """The states of a file, or of its blocks of 30 s, 25 a second, one more than there are whole ones.

    So every frame of the recording, whose last may be centred on its end, has one.
    """
    blocks = decode_blocks(sound, block_s=WINDOW_S) if isinstance(sound, str | bytes | os.PathLike) else sound
    windows = (_pooled(encoder(block), len(block) // SAMPLES_PER_STATE + 1) for block in blocks)
    first = next(windows, None)
    if first is None:
        raise NymphError("expected sound, got none")
    schema = state_schema(first.shape[1])
    return pa.RecordBatchReader.from_batches(schema, _batches(first, windows, schema))


def load_encoder(model: str, device: str = "cpu", layer: int | None = None) -> Encoder:
    """The encoder of `offline-tiny-en`, of a folder, or of a hub id.

    Args:
        model: A folder with `model.bin` is Whisper in CTranslate2 format; all else is read by `transformers`.
        device: `cpu`, `cuda`, or `cuda:1`.
        layer: Whose states, from 1; null for the last. HuBERT's phones are clearest around the middle.

    Raises:
        NymphError: the model is not there, is no speech encoder, or has no such layer.
    """
    if model != OFFLINE_WHISPER and not (Path(model) / "model.bin").is_file():
        return TransformersStates(model, device, layer)
    if layer is not None:
        raise NymphError(
            f"layer: Whisper in CTranslate2 format gives its last states alone, got {layer}; set it to null"
        )
    return WhisperStates(model, device)


class WhisperStates:
    """The encoder of Whisper in CTranslate2 format."""

    def __init__(self, model: str, device: str) -> None:
        """Load it. Raises `NymphError` where it is not there."""
        folder = whisper_model(model)
        with quiet_loading():
            from faster_whisper import WhisperModel

            self._model: Any = WhisperModel(folder, device=device.partition(":")[0])

    def __call__(self, samples: Samples) -> NDArray[np.float32]:
        """See `Encoder`."""
        from faster_whisper.audio import pad_or_trim
        from faster_whisper.transcribe import get_ctranslate2_storage

        features = pad_or_trim(self._model.feature_extractor(samples))
        states = self._model.model.encode(get_ctranslate2_storage(features[None]), to_cpu=True)
        return np.asarray(states, np.float32)[0]


class TransformersStates:
    """A speech encoder that `transformers` knows."""

    def __init__(self, model: str, device: str, layer: int | None) -> None:
        """Load it from safetensors. Raises `NymphError` where it is not there or is none."""
        from transformers import AutoFeatureExtractor, AutoModel

        try:
            self._features: Any = AutoFeatureExtractor.from_pretrained(model)
            network: Any = AutoModel.from_pretrained(model, use_safetensors=True).eval().requires_grad_(False)
        except (OSError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise NymphError(
                f"expected a speech encoder with safetensors weights, got {model!r}: {reason}. Use "
                f"{OFFLINE_WHISPER!r}, a folder, or a hub id that this machine can reach"
            ) from error
        self._network = (network.get_encoder() if network.config.is_encoder_decoder else network).to(device)
        self._device, self._layer = device, -1 if layer is None else layer
        layers = network.config.num_hidden_layers
        if not (layer is None or 1 <= layer <= layers):
            raise NymphError(f"layer: {model!r} has layers 1 to {layers}, got {layer}")

    def __call__(self, samples: Samples) -> NDArray[np.float32]:
        """See `Encoder`."""
        import torch

        given = self._features(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        name = self._features.model_input_names[0]
        with torch.inference_mode():
            found = self._network(given[name].to(self._device), output_hidden_states=True)
        states: NDArray[np.float32] = found.hidden_states[self._layer][0].float().cpu().numpy()
        return states


def _pooled(states: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The means of pairs of states [count,D]; the last one stands in where sound ends before they do."""
    index = np.minimum(np.arange(count * _PER_STATE), len(states) - 1)
    return states[index].reshape(count, _PER_STATE, -1).mean(1)


def _batches(
    first: NDArray[np.float32], windows: Iterator[NDArray[np.float32]], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Windows as batches. All but the last give up the state beyond their end, which the next one begins with."""
    held = first
    for window in windows:
        yield _batch(held[:-1], schema)
        held = window
    yield _batch(held, schema)


def _batch(states: NDArray[np.float32], schema: pa.Schema) -> pa.RecordBatch:
    values = pa.array(states.astype(np.float16).ravel())
    lists = pa.FixedSizeListArray.from_arrays(values, type=schema.field(0).type)
    return pa.RecordBatch.from_arrays([lists], schema=schema)
