"""What a model is: every dimension a field, impossible combinations refused with the reason.

Frozen dataclasses of plain values, so that a checkpoint's `config.json`, a Kedro parameter file and a test all build
the same model. No torch here: options can be read without loading it. Widths are numbers of features, lengths are
positions.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from nymph.errors import NymphError

STRICT: dict[str, Any] = {"extra": "forbid"}
"""pydantic's word for: a misspelt key is an error."""


@dataclass(frozen=True, kw_only=True)
class AttentionConfig:
    """How positions look at each other; fields of the other types stay None."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    type: Literal["mla", "gqa", "mha"] = "mla"
    """`mla`: joint low-rank K/V latent and decoupled RoPE (arXiv:2405.04434); `gqa`: arXiv:2305.13245; `mha`."""
    heads: int = 4
    """Query heads."""
    latent: int | None = None
    """mla: width of the K/V latent, what the cache holds besides one rotary key."""
    query_latent: int | None = None
    """mla: width of the query compression; None projects queries directly."""
    rope: int | None = None
    """mla: rotary width of a query head, and of the one key all heads share."""
    nope: int | None = None
    """mla: width of the part of queries and keys that carries no position."""
    value: int | None = None
    """mla: width of a value head."""
    key_value_heads: int | None = None
    """gqa: heads of K and V, a divisor of `heads`."""
    head: int | None = None
    """gqa, mha: width of a head; None is width / heads."""
    query_key_norm: bool = False
    """RMSNorm on each query and key head before RoPE (arXiv:2302.05442); gqa and mha only."""

    def __post_init__(self) -> None:
        _positive(self, "heads", "latent", "query_latent", "rope", "nope", "value", "key_value_heads", "head")
        required, foreign = _ATTENTION_FIELDS[self.type]
        for name in required:
            if getattr(self, name) is None:
                raise NymphError(f"attention type {self.type!r} needs {name!r}, got none; set attention.{name}")
        for name in foreign:
            if getattr(self, name) is not None:
                raise NymphError(f"attention.{name} means nothing to type {self.type!r}; remove it or change the type")
        if self.type == "mla" and self.query_key_norm:
            raise NymphError("query_key_norm needs type 'gqa' or 'mha': mla already normalises its latents")
        if self.rope is not None and self.rope % 2:
            raise NymphError(f"attention.rope must be even (RoPE turns pairs of features), got {self.rope}")
        if self.key_value_heads is not None and self.heads % self.key_value_heads:
            raise NymphError(
                f"attention.key_value_heads must divide heads={self.heads} evenly, got {self.key_value_heads}"
            )


_ATTENTION_FIELDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "mla": (("latent", "rope", "nope", "value"), ("key_value_heads", "head")),
    "gqa": (("key_value_heads",), ("latent", "query_latent", "rope", "nope", "value")),
    "mha": ((), ("latent", "query_latent", "rope", "nope", "value", "key_value_heads")),
}


@dataclass(frozen=True, kw_only=True)
class WindowConfig:
    """Which layers see a sliding window only: `local` windowed layers, then one global, the last always global."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    size: int = 1024
    """Positions a windowed layer sees, its own included."""
    local: int = 5
    """Windowed layers for each global one; 0 makes every layer global."""

    def __post_init__(self) -> None:
        if self.size < 2:
            raise NymphError(f"window.size must be 2 positions or more, got {self.size}")
        if self.local < 0:
            raise NymphError(f"window.local must be 0 or more layers, got {self.local}")


@dataclass(frozen=True, kw_only=True)
class RopeConfig:
    """Rotary positions (arXiv:2104.09864) and their extension by YaRN (arXiv:2309.00071)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    local_base: float = 10_000.0
    """Base of windowed layers."""
    global_base: float = 1_000_000.0
    """Base of global layers."""
    scaling: float = 1.0
    """YaRN factor by which the context is extended in global layers; 1 is plain RoPE."""
    original_context: int | None = None
    """Positions the model was trained on before the extension; needed when `scaling` is above 1."""
    beta_fast: float = 32.0
    """YaRN: features that turn more often than this over the original context are left alone."""
    beta_slow: float = 1.0
    """YaRN: features that turn less often than this are interpolated fully."""

    def __post_init__(self) -> None:
        _positive(self, "local_base", "global_base", "original_context", "beta_fast", "beta_slow")
        if self.scaling < 1:
            raise NymphError(f"rope.scaling must be 1 or more, got {self.scaling}")
        if self.scaling > 1 and self.original_context is None:
            raise NymphError("rope.scaling above 1 needs rope.original_context, the positions trained on before")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A whole model. The defaults are preset tiny's."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    vocabulary_size: int = 4096
    context_length: int = 512
    """Longest sequence the model is meant for; RoPE itself sets no limit."""
    width: int = 128
    """Features of the residual stream."""
    layers: int = 4
    attention: AttentionConfig = field(
        default_factory=lambda: AttentionConfig(type="mla", heads=4, latent=64, rope=16, nope=16, value=32)
    )
    window: WindowConfig = field(default_factory=lambda: WindowConfig(size=128))
    rope: RopeConfig = field(default_factory=RopeConfig)
    feed_forward: int | None = None
    """Hidden features of SwiGLU; None is 8/3 of `width`, rounded up to a multiple of 64."""
    norm_epsilon: float = 1e-6
    tie_embeddings: bool = True
    """The next-token head is the token embedding."""
    initial_deviation: float = 0.02
    """Standard deviation of initial weights; residual outputs are scaled by 1/sqrt(2 layers)."""
    mel_patch: int = 640
    """Features of an audio patch: frames x mel bins."""
    image_patch: int = 0
    """Features of an image patch; 0 leaves the image slot out."""
    prosody_width: int = 4
    speaker_width: int = 256
    sentiment_classes: int = 3
    modality_dropout: float = 0.1
    """Share of documents that lose a modality while training, drawn for each modality alone."""

    def __post_init__(self) -> None:
        _positive(
            self, "vocabulary_size", "context_length", "width", "layers", "feed_forward", "norm_epsilon",
            "initial_deviation", "mel_patch", "prosody_width", "speaker_width", "sentiment_classes",
        )  # fmt: skip
        if self.image_patch < 0:
            raise NymphError(f"image_patch must be 0 (no image slot) or more features, got {self.image_patch}")
        if not 0 <= self.modality_dropout < 1:
            raise NymphError(f"modality_dropout must be at least 0 and below 1, got {self.modality_dropout}")
        _check_heads(self)

    @property
    def feed_forward_width(self) -> int:
        """Hidden features of SwiGLU."""
        return self.feed_forward or -(-self.width * 8 // 3 // 64) * 64

    @property
    def head_width(self) -> int:
        """Features of a query or key head."""
        attention = self.attention
        if attention.type == "mla":
            return (attention.nope or 0) + (attention.rope or 0)
        return attention.head or self.width // attention.heads

    def window_of(self, layer: int) -> int | None:
        """The window of a layer in positions, None where it is global. The last layer is always global."""
        period = self.window.local + 1
        return None if layer == self.layers - 1 or layer % period == period - 1 else self.window.size


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What the model is taught: weights of the objectives, and what is hidden from it to that end."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    objective: Literal["multimodal", "autoencoder"] = "multimodal"
    """`autoencoder`: mean squared error on the combined input features alone; it learns the identity."""
    next_token: float = 1.0
    next_audio: float = 0.25
    """Huber loss of the audio patch at the next position."""
    masked_modality: float = 0.25
    """Huber loss of hidden audio patches and prosody at their own positions."""
    sentiment: float = 0.1
    speaker: float = 0.1
    mask_share: float = 0.15
    """Share of audio and prosody positions hidden for masked_modality."""
    mask_span: int = 4
    """Positions hidden in one piece: neighbouring patches give each other away."""
    label_share: float = 0.5
    """Share of documents whose sentiment, and whose speaker, is hidden to be predicted."""

    def __post_init__(self) -> None:
        _positive(self, "mask_span")
        for name in ("next_token", "next_audio", "masked_modality", "sentiment", "speaker"):
            if getattr(self, name) < 0:
                raise NymphError(f"objective weight {name} must be 0 or more, got {getattr(self, name)}")
        for name in ("mask_share", "label_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise NymphError(f"{name} must be a share between 0 and 1, got {getattr(self, name)}")

    def weights(self) -> dict[str, float]:
        """Weight of each active objective by its name; an objective of weight 0 is not computed."""
        if self.objective == "autoencoder":
            return {"autoencoder": 1.0}
        names = ("next_token", "next_audio", "masked_modality", "sentiment", "speaker")
        return {name: getattr(self, name) for name in names if getattr(self, name) > 0}


def _positive(options: Any, *names: str) -> None:
    for name in names:
        value = getattr(options, name)
        if value is not None and value <= 0:
            raise NymphError(f"{type(options).__name__}.{name} must be above 0, got {value!r}")


def _check_heads(config: ModelConfig) -> None:
    attention = config.attention
    if attention.type == "mla":
        return
    if attention.head is None and config.width % attention.heads:
        raise NymphError(
            f"width {config.width} does not divide into {attention.heads} heads; change one or set attention.head"
        )
    if config.head_width % 2:
        raise NymphError(f"a head must have an even width (RoPE turns pairs of features), got {config.head_width}")
