"""Parameters are flattened to short strings."""

from dataclasses import dataclass

from pydantic import BaseModel

from nymph.tracking.params import VALUE_LIMIT, flatten


@dataclass(frozen=True)
class Schedule:
    warmup: int = 10


class Options(BaseModel):
    learning_rate: float = 0.1
    schedule: Schedule = Schedule()


def test_typed_options_are_compared_by_field() -> None:
    assert flatten("training", Options()) == {"training.learning_rate": "0.1", "training.schedule.warmup": "10"}


def test_lists_and_none_are_json() -> None:
    assert flatten("a", {"b": [1, "x"], "c": None}) == {"a.b": '[1, "x"]', "a.c": "null"}


def test_a_long_value_is_cut_and_says_so() -> None:
    value = flatten("prompt", "x" * 1000)["prompt"]
    assert len(value) == VALUE_LIMIT
    assert value.endswith("(1000 characters)")


def test_an_empty_mapping_is_kept() -> None:
    assert flatten("a", {}) == {"a": "{}"}
