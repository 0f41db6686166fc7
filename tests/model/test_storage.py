from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nymph.errors import NymphError
from nymph.files import read_json, write_json
from nymph.model.multimodal import MultimodalModel
from nymph.tensors import load_tensors, save_tensors

Make = Callable[..., MultimodalModel]


def test_a_saved_model_comes_back(form: str, make_model: Make, batch: dict[str, Tensor], tmp_path: Path) -> None:
    model = make_model(form)
    model.save_pretrained(tmp_path)
    again = MultimodalModel.from_pretrained(tmp_path)
    assert again.config == model.config
    assert torch.equal(again(batch), model(batch))


def test_the_file_is_plain_safetensors(make_model: Make, tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    model = make_model()
    model.save_pretrained(tmp_path)
    loaded = safetensors.load_file(tmp_path / "model.safetensors")
    assert loaded.keys() == model.state_dict().keys()


def test_weights_of_another_shape_are_refused(make_model: Make, tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path)
    config = read_json(tmp_path / "config.json")
    write_json(tmp_path / "config.json", {**config, "vocabulary_size": 98})
    with pytest.raises(NymphError, match="does not fit"):
        MultimodalModel.from_pretrained(tmp_path)


def test_a_missing_tensor_is_named(make_model: Make, tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path)
    tensors = dict(load_tensors(tmp_path / "model.safetensors"))
    del tensors["transformer.norm.weight"]
    save_tensors(tmp_path / "model.safetensors", tensors)
    with pytest.raises(NymphError, match=r"lacks 'transformer\.norm\.weight'"):
        MultimodalModel.from_pretrained(tmp_path)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NymphError, match="holds no model"):
        MultimodalModel.from_pretrained(tmp_path / "nowhere")
