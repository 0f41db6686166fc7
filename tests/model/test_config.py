import pytest

from nymph.errors import NymphError
from nymph.model.config import AttentionConfig, ModelConfig, ObjectiveConfig, RopeConfig, WindowConfig
from nymph.model.presets import PRESETS, preset
from nymph.plain import from_plain, to_plain


@pytest.mark.parametrize("attention", ["mla", "gqa"])
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_json(name: str, attention: str) -> None:
    config = preset(name, attention)
    assert from_plain(ModelConfig, to_plain(config)) == config


def test_an_override_replaces_one_field() -> None:
    assert preset("tiny", layers=2).layers == 2
    assert preset("tiny", layers=2).width == preset("tiny").width


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        ({"widht": 64}, "'width'"),
        ({"attention": {"type": "gqa", "heads": 4, "key_value_head": 2}}, "'key_value_heads'"),
    ],
)
def test_an_unknown_key_names_the_nearest(values: dict, hint: str) -> None:
    with pytest.raises(NymphError, match=hint):
        from_plain(ModelConfig, values, "model")


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(NymphError, match="did you mean 'small'"):
        preset("smal")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: AttentionConfig(type="mla", heads=4, latent=8, rope=4, nope=4), "needs 'value'"),
        (lambda: AttentionConfig(type="gqa", heads=4, key_value_heads=3), "must divide"),
        (lambda: AttentionConfig(type="mha", heads=4, latent=8), "means nothing"),
        (lambda: AttentionConfig(type="mla", heads=4, latent=8, rope=3, nope=4, value=4), "even"),
        (lambda: ModelConfig(width=100, attention=AttentionConfig(type="mha", heads=3)), "does not divide"),
        (lambda: ModelConfig(modality_dropout=1.0), "below 1"),
        (lambda: RopeConfig(scaling=4), "original_context"),
        (lambda: WindowConfig(size=1), "2 positions"),
        (lambda: ObjectiveConfig(mask_share=1.5), "share"),
    ],
)
def test_an_impossible_combination_is_refused_with_its_reason(make, reason: str) -> None:
    with pytest.raises(NymphError, match=reason):
        make()


def test_five_windowed_layers_to_a_global_one_and_the_last_is_global() -> None:
    config = preset("debug")
    assert [config.window_of(layer) is None for layer in range(8)] == [False] * 5 + [True, False, True]


def test_the_autoencoder_is_the_only_objective_where_it_is_chosen() -> None:
    assert ObjectiveConfig(objective="autoencoder").weights() == {"autoencoder": 1.0}
    assert "sentiment" not in ObjectiveConfig(sentiment=0.0).weights()
