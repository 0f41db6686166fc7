from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nymph.errors import NymphError
from nymph.model.cache import Cache
from nymph.model.generation import generate, prompt_batch, stream
from nymph.model.multimodal import MultimodalModel
from nymph.model.sampling import Sampler, SamplingConfig, restrict

Make = Callable[..., MultimodalModel]
GREEDY = SamplingConfig(temperature=0, max_new_tokens=30)


@torch.no_grad()
def test_decoding_equals_the_full_forward(form: str, make_model: Make) -> None:
    model = make_model(form)
    tokens = torch.randint(97, (2, 40), generator=torch.Generator().manual_seed(0))
    cache = Cache(model.config, 40)
    decoded = [model({"tokens": tokens[:, :5]}, cache=cache)]
    for at in range(5, 40):
        step = {"tokens": tokens[:, at : at + 1], "position": torch.full((2, 1), at)}
        decoded.append(model.step(step, cache))
    torch.testing.assert_close(torch.cat(decoded, dim=1), model({"tokens": tokens}), atol=1e-4, rtol=1e-4)


def test_greedy_continuations_follow_the_full_forward(form: str, make_model: Make) -> None:
    model = make_model(form)
    prompts = [[5, 6, 7], list(range(3, 24)), [9]]
    for prompt, found in zip(prompts, generate(model, prompts, GREEDY), strict=True):
        logits = model.logits(model({"tokens": torch.tensor([prompt + found.tokens])}))[0, len(prompt) - 1 : -1]
        chosen = logits[torch.arange(30), found.tokens]
        torch.testing.assert_close(chosen, logits.amax(1), atol=1e-3, rtol=0)  # two may be as good but for rounding


def test_the_cache_of_a_windowed_layer_stops_growing(make_model: Make) -> None:
    model, config = make_model(), make_model().config
    sizes = []
    for capacity in (100, 200):
        cache = Cache(config, capacity)
        model({"tokens": torch.zeros(1, 60, dtype=torch.long)}, cache=cache)
        sizes.append(cache.bytes_held())
    per_position = (config.attention.latent + config.attention.rope) * 4
    assert sizes[1] - sizes[0] == 2 * 100 * per_position
    assert sizes[0] == (2 * 100 + 8) * per_position


def test_a_row_continues_alike_in_any_batch(make_model: Make) -> None:
    model, options = make_model(), SamplingConfig(max_new_tokens=12, seed=3)
    alone = generate(model, [[5, 6, 7]], options)[0].tokens
    assert generate(model, [[5, 6, 7], [1] * 20], options)[0].tokens == alone
    assert generate(model, [[5, 6, 7]], SamplingConfig(max_new_tokens=12, seed=4))[0].tokens != alone


def test_a_row_ends_at_a_stop_token_while_others_go_on(make_model: Make) -> None:
    model = make_model()
    first = generate(model, [[5], [8]], GREEDY)
    stop = first[0].tokens[3]
    options = SamplingConfig(temperature=0, max_new_tokens=30, stop_tokens=(stop,))
    ended = generate(model, [[5], [8]], options)
    assert ended[0].tokens == first[0].tokens[: first[0].tokens.index(stop) + 1]
    assert ended[1].tokens[:4] == first[1].tokens[:4]


def test_tokens_arrive_one_by_one(make_model: Make) -> None:
    steps = stream(make_model(), [[5]], GREEDY)
    assert len(next(steps).tokens) == 1
    steps.close()


def test_an_audio_token_brings_its_patch_and_changes_what_follows(make_model: Make) -> None:
    model = make_model()
    silent = generate(model, [[5]], GREEDY)[0]
    spoken = generate(model, [[5]], GREEDY, audio_token=silent.tokens[0])[0]
    assert len(spoken.audio) == spoken.tokens.count(silent.tokens[0]) > 0
    assert spoken.audio[0].shape == (40,)
    assert spoken.tokens != silent.tokens


def test_the_speaker_of_the_prompt_holds_on(make_model: Make) -> None:
    model, batch = make_model(), prompt_batch([[5, 6]])
    voice = {"speaker": torch.zeros(1, 2, dtype=torch.long), "speaker_vectors": torch.randn(1, 16) * 9}
    assert generate(model, {**batch, **voice}, GREEDY) != generate(model, batch, GREEDY)


@pytest.mark.parametrize(
    "prompts", [[], [[]], [[97]], [[-1]], {"tokens": torch.ones(1, 3).long(), "document": torch.tensor([[1, 2, 0]])}]
)
def test_a_prompt_that_cannot_be_continued_is_refused(prompts: list | dict[str, Tensor], make_model: Make) -> None:
    with pytest.raises(NymphError, match=r"prompt"):
        generate(make_model(), prompts, GREEDY)


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": 0.05}, {"temperature": 2.1}, {"top_k": 0}, {"top_k": 101}, {"top_p": 0.0}, {"min_p": 1.0},
     {"repetition_penalty": 0.5}, {"max_new_tokens": 0}],
)  # fmt: skip
def test_an_option_out_of_range_is_refused(wrong: dict) -> None:
    with pytest.raises(NymphError, match=next(iter(wrong))):
        SamplingConfig(**wrong)


@pytest.mark.parametrize(
    ("options", "kept"), [({"top_k": 2}, [0, 1]), ({"top_p": 0.75}, [0, 1]), ({"min_p": 0.3}, [0, 1, 2])]
)
def test_unlikely_tokens_are_excluded(options: dict, kept: list[int]) -> None:
    scores = torch.tensor([[0.5, 0.3, 0.16, 0.04]]).log()
    left = restrict(scores, SamplingConfig(**options)).isfinite()[0].nonzero().flatten().tolist()
    assert left == kept


def test_repetition_is_penalised() -> None:
    sampler = Sampler(SamplingConfig(temperature=0, repetition_penalty=2.0), [[1]], 3)
    assert [int(sampler(torch.tensor([[0.0, 3.0, 2.0]]))) for _ in range(2)] == [2, 1]
