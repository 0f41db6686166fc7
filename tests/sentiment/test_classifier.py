import subprocess
import sys

import pytest
from transformers import AutoModelForSequenceClassification, TextClassificationPipeline

from nymph.errors import NymphError
from nymph.files import read_json
from nymph.sentiment.classifier import load_classifier
from nymph.sentiment.minilm import HEAD


def test_it_is_a_standard_pipeline(classifier) -> None:
    assert isinstance(classifier, TextClassificationPipeline)
    assert {entry["label"] for entry in classifier("Good.")[0]} == {"negative", "neutral", "positive"}


def test_it_can_be_saved_and_loaded_like_any_other(classifier, tmp_path) -> None:
    classifier.save_pretrained(tmp_path)
    again = load_classifier(str(tmp_path), device="cpu")
    assert again("A lovely day.")[0][0]["score"] == pytest.approx(classifier("A lovely day.")[0][0]["score"], abs=1e-4)


def test_the_auto_class_knows_it(classifier, tmp_path) -> None:
    classifier.model.save_pretrained(tmp_path)
    assert type(AutoModelForSequenceClassification.from_pretrained(tmp_path)) is type(classifier.model)


def test_the_packaged_head_beats_vader_on_the_same_sentences() -> None:
    report = read_json(HEAD / "head.json")
    assert all(report["held_out"][name] > report["vader_held_out"][name] + 0.1 for name in report["held_out"])


def test_a_missing_model_is_one_clear_error(tmp_path) -> None:
    with pytest.raises(NymphError, match="expected a text classifier with safetensors weights"):
        load_classifier(str(tmp_path))


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, nymph.sentiment.classifier, nymph.sentiment.score; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
