"""Small models and batches that the model's tests share."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from nymph.model.config import AttentionConfig, ModelConfig, WindowConfig
from nymph.model.multimodal import MultimodalModel

FORMS = {
    "mla": AttentionConfig(type="mla", heads=4, latent=24, rope=8, nope=12, value=16),
    "mla-compressed": AttentionConfig(type="mla", heads=4, latent=24, query_latent=40, rope=8, nope=8, value=16),
    "gqa": AttentionConfig(type="gqa", heads=4, key_value_heads=2, query_key_norm=True),
    "mha": AttentionConfig(type="mha", heads=4),
}


def small_config(form: str = "mla", **changes: Any) -> ModelConfig:
    """Three layers of 64 features: windows of 8 positions, a global layer, a global layer."""
    values: dict[str, Any] = {"vocabulary_size": 97, "width": 64, "layers": 3, "mel_patch": 40, "speaker_width": 16}
    values |= {"attention": FORMS[form], "window": WindowConfig(size=8, local=1)}
    return ModelConfig(**{**values, **changes})


def small_model(form: str = "mla", **changes: Any) -> MultimodalModel:
    """A small model in evaluation mode with weights large enough that positions matter."""
    torch.manual_seed(0)
    return MultimodalModel(small_config(form, initial_deviation=0.2, **changes)).eval()


def small_batch(rows: int = 2, length: int = 40) -> dict[str, Tensor]:
    """Two documents a row and padding in the first, all five modalities, absence in each of them."""
    draw = torch.Generator().manual_seed(0)
    document = torch.ones(rows, length, dtype=torch.long)
    document[:, length // 2 :] = 2
    document[0, length - 5 :] = 0
    position = torch.arange(length).repeat(rows, 1)
    position[:, length // 2 :] -= length // 2
    prosody = torch.randn(rows, length, 4, generator=draw)
    prosody[:, ::3] = float("nan")
    prosody[:, 1, 0] = float("nan")
    sentiment = torch.full((rows, length), -1)
    sentiment[:, : length // 2] = 1
    speaker = torch.full((rows, length), -1)
    speaker[:, length // 2 : length - 5] = torch.arange(rows)[:, None]
    audio_index = torch.cat([torch.arange(4, 12) + row * length for row in range(rows)])
    return {
        "tokens": torch.randint(97, (rows, length), generator=draw),
        "modality": torch.where(document > 0, 1, 0),
        "loss_weight": (document > 0).float(),
        "document": document,
        "position": position * (document > 0),
        "sentiment": sentiment,
        "speaker": speaker,
        "speaker_vectors": torch.randn(rows, 16, generator=draw),
        "prosody": prosody,
        "audio": torch.randn(len(audio_index), 40, generator=draw),
        "audio_index": audio_index,
    }


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    """Each form of attention."""
    return str(request.param)


@pytest.fixture
def make_config() -> Callable[..., ModelConfig]:
    return small_config


@pytest.fixture
def make_model() -> Callable[..., MultimodalModel]:
    return small_model


@pytest.fixture
def batch() -> dict[str, Tensor]:
    return small_batch()
