"""Models as catalog entries: the environment says which one, and on which device."""

from functools import partial
from typing import Any, NoReturn

from kedro.io.core import AbstractDataset, DatasetError

from nymph.lazy import Lazy
from nymph.transcription.config import TranscriptionConfig

MACHINE_OPTIONS = {"device", "threads", "batch_size"}
"""Options that change how fast a model answers, not what: they stay out of keys."""


class _ModelDataset(AbstractDataset[NoReturn, Lazy[Any]]):
    """Loads as a `Lazy`: nothing is read before a stage finds that it has something to do."""

    def __init__(self, *, metadata: dict[str, Any] | None = None) -> None:
        self.metadata = metadata

    def save(self, data: NoReturn) -> NoReturn:
        """Never: models are chosen in the catalog."""
        raise DatasetError("a model entry is read only")


class TranscriberDataset(_ModelDataset):
    """A WhisperX pipeline; see `nymph.transcription.config.TranscriptionConfig` for all options.

    Example:
        ```yaml
        transcriber:
          type: nymph.datasets.models.TranscriberDataset
          config: {model: large-v3, device: cuda, compute_type: float16, batch_size: 16}
        ```
    """

    def __init__(self, *, config: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
        super().__init__(metadata=metadata)
        self._config = TranscriptionConfig.model_validate(config)

    def check(self) -> None:
        """Raise NymphError where diarization asks for a gated model that this machine may not have; loads nothing."""
        if self._config.speakers == "pyannote":
            from nymph.transcription.diarization import check_pyannote

            check_pyannote(self._config.diarization_model)

    def load(self) -> Lazy[Any]:
        """A `Lazy[nymph.transcription.engine.Transcriber]`."""
        from nymph.transcription.engine import load_transcriber

        identity = self._config.model_dump(mode="json", exclude=MACHINE_OPTIONS)
        return Lazy(identity, partial(load_transcriber, self._config), single=self._config.device != "cpu")

    def _describe(self) -> dict[str, Any]:
        return self._config.model_dump(mode="json")


class SpeakerEncoderDataset(_ModelDataset):
    """The GE2E speaker encoder whose weights the Resemblyzer wheel carries (256 numbers, unit norm)."""

    def __init__(self, *, weights: str | None = None, metadata: dict[str, Any] | None = None) -> None:
        super().__init__(metadata=metadata)
        self._weights = weights

    def load(self) -> Lazy[Any]:
        """A `Lazy[nymph.audio.speaker.SpeakerEncoder]`."""
        from nymph.audio.speaker import SpeakerEncoder

        return Lazy({"encoder": "ge2e", "weights": self._weights}, partial(SpeakerEncoder.load, self._weights))

    def _describe(self) -> dict[str, Any]:
        return {"weights": self._weights or "resemblyzer wheel"}


class SpeechEncoderDataset(_ModelDataset):
    """A speech encoder whose states audio units may stand for; see `nymph.transcription.states.load_encoder`.

    Example:
        ```yaml
        speech_encoder:
          type: nymph.datasets.models.SpeechEncoderDataset
          model: facebook/hubert-large-ll60k
          layer: 12
          device: cuda
        ```
    """

    def __init__(
        self,
        *,
        model: str = "offline-tiny-en",
        device: str = "cpu",
        layer: int | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(metadata=metadata)
        self._options: dict[str, Any] = {"model": model, "device": device, "layer": layer}

    def load(self) -> Lazy[Any]:
        """A `Lazy[nymph.transcription.states.Encoder]`."""
        from nymph.transcription.states import load_encoder

        identity = {name: value for name, value in self._options.items() if name not in MACHINE_OPTIONS}
        return Lazy(identity, partial(load_encoder, **self._options), single=self._options["device"] != "cpu")

    def _describe(self) -> dict[str, Any]:
        return dict(self._options)


class SentimentDataset(_ModelDataset):
    """Any Hugging Face text-classification model by hub id or folder, or `offline-minilm`.

    kedro-datasets' `huggingface.HFTransformerPipelineDataset` loads its model at once and knows no packaged head.

    Example:
        ```yaml
        sentiment_classifier:
          type: nymph.datasets.models.SentimentDataset
          model: j-hartmann/emotion-english-distilroberta-base
          device: cuda
        ```
    """

    def __init__(
        self,
        *,
        model: str = "offline-minilm",
        device: str = "auto",
        batch_size: int = 32,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(metadata=metadata)
        self._options: dict[str, Any] = {"model": model, "device": device, "batch_size": batch_size}

    def load(self) -> Lazy[Any]:
        """A `Lazy` of a `transformers` text-classification pipeline."""
        from nymph.sentiment.classifier import load_classifier

        on_gpu = self._options["device"] != "cpu"
        return Lazy({"model": self._options["model"]}, partial(load_classifier, **self._options), single=on_gpu)

    def _describe(self) -> dict[str, Any]:
        return dict(self._options)
