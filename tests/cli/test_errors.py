"""Expected failures become one line; unexpected ones stay what they are."""

import pytest
import yaml
from kedro.io.core import DatasetError
from omegaconf import OmegaConf
from pydantic import ValidationError

from nymph.cli.errors import explain
from nymph.errors import NymphError
from nymph.pipelines.parquet.options import ParquetOptions
from nymph.pipelines.tokenizer.options import TokenizerParameters
from nymph.pipelines.training.options import TrainingOptions


def test_a_user_error_deep_in_the_chain_is_what_is_shown() -> None:
    error = DatasetError("Failed while loading")
    error.__cause__ = NymphError("the server\nis down")
    assert explain(error) == "the server is down"


def test_an_error_nobody_expected_is_not_hidden() -> None:
    assert explain(ZeroDivisionError("division by zero")) is None


@pytest.mark.parametrize(
    ("model", "values", "nearest"),
    [
        (TrainingOptions, {"stepz": 5}, "steps"),
        (TrainingOptions, {"optimiser": {"learning_rat": 1.0}}, "learning_rate"),
        (TrainingOptions, {"objectives": {"objectiv": "x"}}, "objective"),
        (ParquetOptions, {"split": {"trian": 0.5}}, "train"),
        (ParquetOptions, {"mix": {"tasks": {"speak": {"conditons": ["text"]}}}}, "conditions"),
        (TokenizerParameters, {"vocabulary_sise": 500}, "vocabulary_size"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_typo_names_the_nearest_right_option(model: type, values: dict[str, object], nearest: str) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(values)  # type: ignore[attr-defined]
    assert f"did you mean {nearest!r}?" in str(explain(caught.value))


def test_a_wrong_value_says_what_came() -> None:
    with pytest.raises(ValidationError) as caught:
        TrainingOptions.model_validate({"steps": "many"})
    assert "steps" in str(explain(caught.value))
    assert "'many'" in str(explain(caught.value))


def test_a_list_in_one_environment_and_a_mapping_in_another_is_one_line() -> None:
    with pytest.raises(TypeError) as caught:
        OmegaConf.unsafe_merge({"rate": [1, 2]}, {"rate": {"low": 1}})
    assert "a list in conf/base and a mapping in another" in str(explain(caught.value))


def test_a_broken_yaml_file_is_one_line() -> None:
    assert explain(yaml.YAMLError("Invalid YAML file globals.yml")) == "Invalid YAML file globals.yml"
