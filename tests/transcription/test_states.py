"""Speech encoders: the packaged Whisper and whatever `transformers` knows give a state for each 40 ms."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nymph.audio.decode import Samples
from nymph.errors import NymphError
from nymph.transcription.states import extract_states, load_encoder

NOISE = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)


@pytest.fixture(scope="module")
def hubert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A HuBERT of two small layers that knows nothing."""
    from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor, set_seed

    folder = str(tmp_path_factory.mktemp("hubert"))
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    convolutions = {"conv_dim": [8] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
    set_seed(0)
    HubertModel(HubertConfig(**small, **convolutions)).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


def index_of(samples: Samples) -> NDArray[np.float32]:
    """States of 20 ms that count themselves."""
    return np.arange(len(samples) // 320, dtype=np.float32)[:, None]


@pytest.mark.parametrize(("seconds", "states"), [([1.0], 26), ([30.0, 1.01], 776), ([30.0, 30.0], 1501)])
def test_every_frame_of_a_recording_has_a_state(seconds: list[float], states: int) -> None:
    table = extract_states([np.zeros(round(s * 16_000), np.float32) for s in seconds], index_of).read_all()
    assert table.num_rows == states
    assert sum(round(s * 16_000) for s in seconds) // 160 // 4 < states


def test_a_state_is_the_mean_of_its_40_ms() -> None:
    states = extract_states([NOISE[:3200]], index_of).read_all()["state"].combine_chunks().flatten().to_pylist()
    assert states == [0.5, 2.5, 4.5, 6.5, 8.5, 9.0]


@pytest.mark.slow
def test_the_packaged_whisper_hears_the_same_twice_and_other_sound_otherwise() -> None:
    encoder = load_encoder("offline-tiny-en")
    once, twice, silence = (encoder(sound) for sound in (NOISE, NOISE, np.zeros_like(NOISE)))
    assert once.shape == (1500, 384)
    np.testing.assert_allclose(once, twice, atol=1e-4)
    assert np.abs(once[:50] - silence[:50]).max() > 0.1


def test_any_encoder_of_transformers_gives_the_states_of_the_layer_asked_for(hubert: str) -> None:
    last, same, first = (load_encoder(hubert, layer=layer)(NOISE) for layer in (None, 2, 1))
    assert last.shape == (49, 16)
    np.testing.assert_allclose(last, same, atol=1e-5)
    assert np.abs(last - first).max() > 1e-3


def test_a_layer_that_is_not_there_is_an_error(hubert: str) -> None:
    with pytest.raises(NymphError, match="layers 1 to 2, got 3"):
        load_encoder(hubert, layer=3)
    with pytest.raises(NymphError, match="last states alone"):
        load_encoder("offline-tiny-en", layer=3)


def test_a_folder_without_an_encoder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NymphError, match="expected a speech encoder"):
        load_encoder(str(tmp_path))
