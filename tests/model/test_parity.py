"""Copied weights, equal outputs: transformers' models are the reference for every part of the architecture."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nymph.model.config import AttentionConfig, ModelConfig, RopeConfig, WindowConfig
from nymph.model.transformer import CustomTransformer

transformers = pytest.importorskip("transformers")
Pair = tuple[CustomTransformer, nn.Module]
COMMON = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 96}
GROUPED: dict[str, Any] = {**COMMON, "vocab_size": 11, "num_key_value_heads": 2, "head_dim": 16, "rope_theta": 1e4}
LATENT: dict[str, Any] = {**COMMON, "vocab_size": 11, "num_key_value_heads": 4, "rope_theta": 1e4}
LATENT |= {"kv_lora_rank": 24, "qk_rope_head_dim": 8, "qk_nope_head_dim": 12, "v_head_dim": 16}
LATENT |= {"first_k_dense_replace": 3, "n_routed_experts": 2, "num_experts_per_tok": 1, "n_group": 1, "topk_group": 1}


def ours(attention: AttentionConfig, **changes: Any) -> CustomTransformer:
    values: dict[str, Any] = {"width": 64, "layers": 3, "feed_forward": 96, "norm_epsilon": 1e-6}
    values |= {"rope": RopeConfig(local_base=1e4, global_base=1e4), "window": WindowConfig(local=0)}
    return CustomTransformer(ModelConfig(**{**values, **changes, "attention": attention})).eval()


def randomised(reference: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for parameter in reference.parameters():
        nn.init.normal_(parameter, mean=1.0 if parameter.dim() == 1 else 0.0, std=0.1)
    return reference.eval()


@torch.no_grad()
def copy(pair: Pair, attention: Callable[[nn.Module], dict[str, Tensor]]) -> Pair:
    model, reference = pair
    model.norm.load_state_dict(reference.norm.state_dict())
    for mine, theirs in zip(model.blocks, reference.layers, strict=True):
        mine.attention_norm.load_state_dict(theirs.input_layernorm.state_dict())
        mine.feed_forward_norm.load_state_dict(theirs.post_attention_layernorm.state_dict())
        mine.feed_forward.gate_up.weight.copy_(torch.cat((theirs.mlp.gate_proj.weight, theirs.mlp.up_proj.weight)))
        mine.feed_forward.down.weight.copy_(theirs.mlp.down_proj.weight)
        mine.attention.load_state_dict(attention(theirs.self_attn))
    return pair


def grouped_weights(theirs: nn.Module) -> dict[str, Tensor]:
    projections = torch.cat((theirs.q_proj.weight, theirs.k_proj.weight, theirs.v_proj.weight))
    weights = {"query_key_value.weight": projections, "output.weight": theirs.o_proj.weight}
    if hasattr(theirs, "q_norm"):
        weights |= {"query_norm.weight": theirs.q_norm.weight, "key_norm.weight": theirs.k_norm.weight}
    return weights


def latent_weights(theirs: nn.Module) -> dict[str, Tensor]:
    """DeepSeek turns neighbouring features, Nymph the two halves: the rows of rotary features change places."""
    halves = torch.cat((torch.arange(0, 8, 2), torch.arange(1, 8, 2)))
    query = theirs.q_proj if theirs.q_lora_rank is None else theirs.q_b_proj
    heads = query.weight.unflatten(0, (4, 20))
    down = theirs.kv_a_proj_with_mqa.weight
    weights = {
        "query.weight": torch.cat((heads[:, :12], heads[:, 12:][:, halves]), dim=1).flatten(0, 1),
        "latent_down.weight": torch.cat((down[:24], down[24:][halves])),
        "latent_norm.weight": theirs.kv_a_layernorm.weight,
        "latent_up.weight": theirs.kv_b_proj.weight,
        "output.weight": theirs.o_proj.weight,
    }
    if theirs.q_lora_rank is not None:
        weights |= {"query_down.weight": theirs.q_a_proj.weight, "query_norm.weight": theirs.q_a_layernorm.weight}
    return weights


def llama(**changes: Any) -> nn.Module:
    return transformers.LlamaModel(transformers.LlamaConfig(**GROUPED, rms_norm_eps=1e-6, **changes))


def assert_equal_outputs(pair: Pair) -> None:
    model, reference = pair
    x = torch.randn(2, 50, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(model(x), reference(inputs_embeds=x)[0], atol=1e-5, rtol=1e-5)


def test_gqa_rope_rmsnorm_and_swiglu_equal_llama() -> None:
    model = ours(AttentionConfig(type="gqa", heads=4, key_value_heads=2))
    assert_equal_outputs(copy((model, randomised(llama())), grouped_weights))


def test_yarn_equals_llama_with_yarn() -> None:
    rope = RopeConfig(global_base=1e4, scaling=4, original_context=32)
    scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
    model = ours(AttentionConfig(type="gqa", heads=4, key_value_heads=2), rope=rope)
    assert_equal_outputs(copy((model, randomised(llama(rope_scaling=scaling))), grouped_weights))


@pytest.mark.parametrize("query_latent", [None, 40])
@pytest.mark.parametrize("version", ["V2", "V3"])
def test_mla_equals_deepseek(version: str, query_latent: int | None) -> None:
    config = getattr(transformers, f"Deepseek{version}Config")(**LATENT, q_lora_rank=query_latent)
    reference = randomised(getattr(transformers, f"Deepseek{version}Model")(config))
    options = AttentionConfig(type="mla", heads=4, latent=24, query_latent=query_latent, rope=8, nope=12, value=16)
    assert_equal_outputs(copy((ours(options), reference), latent_weights))


def test_windowed_and_global_layers_with_query_key_norm_equal_qwen3() -> None:
    kinds = ["sliding_attention", "sliding_attention", "full_attention"]
    config = transformers.Qwen3Config(**GROUPED, sliding_window=7, use_sliding_window=True, layer_types=kinds)
    options = AttentionConfig(type="gqa", heads=4, key_value_heads=2, query_key_norm=True)
    model = ours(options, window=WindowConfig(size=7, local=2))
    assert_equal_outputs(copy((model, randomised(transformers.Qwen3Model(config))), grouped_weights))


def test_a_windowed_block_equals_mistrals() -> None:
    config = transformers.MistralConfig(**GROUPED, sliding_window=7)
    model = ours(AttentionConfig(type="gqa", heads=4, key_value_heads=2), window=WindowConfig(size=7))
    model, reference = copy((model, randomised(transformers.MistralModel(config))), grouped_weights)
    model.blocks, reference.layers = model.blocks[:2], reference.layers[:2]
    assert_equal_outputs((model, reference))
