"""Labels are read from configurations, without weights."""

import json
import sys
from pathlib import Path

import pytest

from nymph.sentiment.labels import OFFLINE_CLASSIFIER, label_names
from nymph.sentiment.minilm import LABELS


def test_the_packaged_head_says_the_labels_its_model_gives() -> None:
    assert label_names(OFFLINE_CLASSIFIER) == LABELS


def test_a_folders_configuration_is_read_in_class_order(tmp_path: Path) -> None:
    names = {"10": "late", "0": "anger", "2": "joy"}
    (tmp_path / "config.json").write_text(json.dumps({"id2label": names}))
    assert label_names(str(tmp_path)) == ("anger", "joy", "late")


def test_a_model_out_of_reach_has_no_known_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: str) -> str:
        raise OSError("offline")

    monkeypatch.setattr(sys.modules["huggingface_hub"], "hf_hub_download", unreachable)
    assert label_names("somebody/nothing-of-the-kind") == ()
    assert label_names(str(tmp_path)) == ()
