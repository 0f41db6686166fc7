from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from nymph.errors import NymphError
from nymph.model import offload as offload_module
from nymph.model import transformer
from nymph.model.config import WindowConfig
from nymph.model.masking import MODALITIES, without
from nymph.model.multimodal import MultimodalModel

Make = Callable[..., MultimodalModel]
KEYS = {"audio": ("audio", "audio_index"), "speaker": ("speaker", "speaker_vectors")}


@pytest.mark.parametrize("missing", ["audio", "prosody", "sentiment", "speaker", "document", "position", "modality"])
def test_a_missing_modality_is_legal(missing: str, make_model: Make, batch: dict[str, Tensor]) -> None:
    less = {key: value for key, value in batch.items() if key not in KEYS.get(missing, (missing,))}
    assert make_model()(less).isfinite().all()


@pytest.mark.parametrize("name", ["audio", "prosody", "sentiment", "speaker"])
def test_a_dropped_modality_equals_an_absent_one(name: str, make_model: Make, batch: dict[str, Tensor]) -> None:
    model = make_model()
    absent = {key: value for key, value in batch.items() if key not in KEYS.get(name, (name,))}
    dropped = model(batch, without(frozenset({name}), batch["document"]))
    torch.testing.assert_close(dropped, model(absent))
    assert not torch.allclose(model(batch), dropped, atol=1e-3)


def test_absence_is_not_a_zero(make_model: Make, batch: dict[str, Tensor]) -> None:
    model = make_model()
    torch.nn.init.normal_(model.prosody_projection.bias)
    zero, absent = torch.zeros(2, 40, 4), torch.full((2, 40, 4), float("nan"))
    assert not torch.allclose(model.embed({**batch, "prosody": zero}), model.embed({**batch, "prosody": absent}))


def test_documents_do_not_see_each_other(form: str, make_model: Make, batch: dict[str, Tensor]) -> None:
    model = make_model(form)
    changed = {**batch, "tokens": batch["tokens"].clone()}
    changed["tokens"][:, :20] = 3
    assert torch.equal(model(batch)[:, 20:], model(changed)[:, 20:])
    assert not torch.allclose(model(batch)[:, :20], model(changed)[:, :20], atol=1e-3)


def test_the_future_is_not_seen(form: str, make_model: Make, batch: dict[str, Tensor]) -> None:
    model = make_model(form)
    changed = {**batch, "tokens": batch["tokens"].clone()}
    changed["tokens"][:, 30:] = 3
    torch.testing.assert_close(model(batch)[:, :30], model(changed)[:, :30])


def test_padding_changes_nothing(form: str, make_model: Make) -> None:
    model = make_model(form)
    tokens = torch.arange(24)[None]
    padded = torch.cat((tokens, torch.zeros(1, 9, dtype=torch.long)), dim=1)
    document = (torch.arange(33) < 24).long()[None]
    alone = model({"tokens": tokens})
    torch.testing.assert_close(model({"tokens": padded, "document": document})[:, :24], alone, atol=1e-5, rtol=1e-5)


def test_neighbours_in_a_batch_change_nothing(form: str, make_model: Make, batch: dict[str, Tensor]) -> None:
    model = make_model(form)
    per_row = {k: v for k, v in batch.items() if k in ("tokens", "document", "position", "sentiment", "prosody")}
    together = model(per_row)
    for row in range(2):
        alone = model({key: value[row : row + 1] for key, value in per_row.items()})
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=1e-5)


def test_packed_documents_equal_documents_alone(make_model: Make, batch: dict[str, Tensor]) -> None:
    model = make_model()
    packed = {key: batch[key] for key in ("tokens", "document", "position")}
    alone = model({"tokens": batch["tokens"][:, 20:35]})
    torch.testing.assert_close(model(packed)[:, 20:35], alone, atol=1e-5, rtol=1e-5)


def test_an_image_without_a_slot_is_refused(make_model: Make, batch: dict[str, Tensor]) -> None:
    image = {"image": torch.randn(2, 12), "image_index": torch.tensor([3, 50])}
    assert make_model(image_patch=12)({**batch, **image}).isfinite().all()
    with pytest.raises(NymphError, match="image_patch"):
        make_model()({**batch, **image})


def test_every_modality_is_named_once() -> None:
    assert len(set(MODALITIES)) == len(MODALITIES) == 5


@pytest.mark.parametrize("offload", [False, True])
def test_gradient_checkpointing_changes_nothing(
    offload: bool, make_model: Make, batch: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformer, "PIECE", 16)
    monkeypatch.setattr(offload_module, "_SMALLEST", 1)
    gradients = []
    for on in (False, True):
        model = make_model()
        model.checkpoint_blocks(on, offload)
        model(batch).sin().sum().backward()
        gradients.append(model.token_embedding.weight.grad)
    torch.testing.assert_close(*gradients)


class Kernels(TorchDispatchMode):
    """Counts the calls that reach torch's attention kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.called: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.called[func.name()] += 1
        return func(*args, **(kwargs or {}))


def test_gradient_checkpointing_keeps_what_global_attention_found(make_model: Make, batch: dict[str, Tensor]) -> None:
    model = make_model(window=WindowConfig(local=0))
    model.checkpoint_blocks()
    with Kernels() as kernels:
        model(batch).sum().backward()
    name = "aten::_scaled_dot_product_flash_attention_for_cpu"
    assert kernels.called[name] == kernels.called[f"{name}_backward"] > 0


def test_compiled_blocks_learn_the_same_whatever_the_documents(make_model: Make, batch: dict[str, Tensor]) -> None:
    counters, gradients, graphs = torch._dynamo.utils.counters, [], []
    for compiled in (False, True):
        model = make_model()
        model.checkpoint_blocks(compiled)
        if compiled:
            model.transformer.compile_blocks("aot_eager")
        for border in (7, 20, 33):
            document = torch.where(torch.arange(40) < border, 1, 2).expand(2, 40)
            model({**batch, "document": document}).sin().sum().backward()
            graphs.append(counters["stats"]["unique_graphs"])
        gradients.append(model.token_embedding.weight.grad)
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)
    assert gradients[0].abs().max() > 1
    assert not counters["graph_break"]
    assert graphs[3] == graphs[-1] > graphs[2]
