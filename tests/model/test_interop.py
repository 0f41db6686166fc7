from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from nymph.model.generation import generate
from nymph.model.multimodal import MultimodalModel
from nymph.model.sampling import SamplingConfig

transformers = pytest.importorskip("transformers")
pytest.importorskip("nymph.model.interop")
TOKENS = torch.tensor([[5, 6, 7, 8, 9, 10]])


@pytest.fixture
def model(make_model: Callable[..., MultimodalModel], tmp_path: Path) -> MultimodalModel:
    made = make_model()
    made.save_pretrained(tmp_path)
    return made


def load(folder: Path) -> torch.nn.Module:
    return transformers.AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False)


def test_a_folder_loads_as_a_causal_language_model(model: MultimodalModel, tmp_path: Path) -> None:
    logits = load(tmp_path)(TOKENS).logits
    torch.testing.assert_close(logits, model.logits(model({"tokens": TOKENS})))


def test_left_padding_changes_nothing(model: MultimodalModel, tmp_path: Path) -> None:
    padded, mask = F.pad(TOKENS, (3, 0)), F.pad(torch.ones_like(TOKENS), (3, 0))
    loaded = load(tmp_path)
    torch.testing.assert_close(loaded(padded, attention_mask=mask).logits[:, 3:], loaded(TOKENS).logits)


def test_its_loss_is_transformers_loss(model: MultimodalModel, tmp_path: Path) -> None:
    found = load(tmp_path)(TOKENS, labels=TOKENS)
    torch.testing.assert_close(found.loss, F.cross_entropy(found.logits[0, :-1], TOKENS[0, 1:]))


def test_transformers_generates_what_nymph_does(model: MultimodalModel, tmp_path: Path) -> None:
    theirs = load(tmp_path).generate(TOKENS, max_new_tokens=8, do_sample=False, pad_token_id=0)
    assert (
        theirs[0, 6:].tolist()
        == generate(model, TOKENS.tolist(), SamplingConfig(temperature=0, max_new_tokens=8))[0].tokens
    )


def test_a_saved_folder_loads_in_nymph(model: MultimodalModel, tmp_path: Path) -> None:
    load(tmp_path).save_pretrained(tmp_path / "again")
    again = MultimodalModel.from_pretrained(tmp_path / "again")
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), model.state_dict().values(), strict=True))
