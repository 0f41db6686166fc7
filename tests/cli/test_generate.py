"""Prompts that go on together, and by themselves."""

from dataclasses import replace

import pytest
import torch

from nymph.cli.generate import _continue_all, _continue_one
from nymph.cli.project import run_command
from nymph.model.multimodal import MultimodalModel
from nymph.model.presets import preset
from nymph.model.sampling import SamplingConfig

STOP = ord("e")


class Letters:
    """A token a character."""

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def decode(self, tokens: list[int]) -> str:
        return "".join(map(chr, tokens))


@pytest.fixture(scope="module")
def model() -> MultimodalModel:
    torch.manual_seed(0)
    return MultimodalModel(preset("tiny", layers=1, vocabulary_size=128, initial_deviation=0.2)).eval()


def test_prompts_go_on_together_as_they_do_alone(model: MultimodalModel, capsys: pytest.CaptureFixture[str]) -> None:
    options = SamplingConfig(max_new_tokens=40, stop_tokens=(STOP,), seed=3)
    prompts = ("one", "another")
    _continue_all(model, Letters(), prompts, options)  # type: ignore[arg-type]
    together = capsys.readouterr().out
    for number, prompt in enumerate(prompts):
        _continue_one(model, Letters(), prompt, replace(options, seed=3 + number))  # type: ignore[arg-type]
    alone = capsys.readouterr().out
    assert together == alone
    assert len(together) > len("".join(prompts)) + 10


def test_the_command_to_run_names_environment_and_parameters() -> None:
    params = {"training": {"steps": 5}}
    command = run_command("ryzen", params, **{"training.plan": "plan.yml"})
    assert command == "kedro run --env ryzen --params training.steps=5,training.plan=plan.yml"
    assert run_command(None, {}, steps=1) == "kedro run --params steps=1"
