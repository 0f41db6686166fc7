import math

import pytest
import torch

from nymph.training import precision
from nymph.training.precision import choose_precision, gemm_speeds
from nymph.training.world import World

GPU = World(torch.device("cuda", 0))
PASCAL = {"fp32": 10.0, "fp16": 0.2}
TURING = {"fp32": 10.0, "fp16": 50.0}
AMPERE = {"fp32": 15.0, "fp16": 120.0, "bf16": 120.0}


class Ranks(World):
    """This rank and another whose votes are given."""

    def sum(self, values: list[float]) -> list[float]:
        return [value + (index == 2) for index, value in enumerate(values)]  # the other can fp16 only


@pytest.mark.parametrize(("speeds", "chosen"), [(PASCAL, "fp32"), (TURING, "fp16"), (AMPERE, "bf16")])
def test_what_was_measured_decides(speeds: dict[str, float], chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "gemm_speeds", lambda device: speeds)
    assert choose_precision("auto", GPU) == chosen
    assert choose_precision("fp32", GPU) == "fp32"


def test_a_run_keeps_the_precision_it_began_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "gemm_speeds", lambda device: AMPERE)
    assert choose_precision("auto", GPU, before="fp16") == "fp16"
    assert choose_precision("auto", GPU, before="fp32") == "fp32"


def test_all_ranks_compute_in_what_pays_on_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "gemm_speeds", lambda device: AMPERE)
    assert choose_precision("auto", Ranks(torch.device("cuda", 0), size=2)) == "fp16"


def test_a_product_is_really_measured() -> None:
    speeds = gemm_speeds(torch.device("cpu"))
    assert list(speeds) == ["fp32"]
    assert 1e6 < speeds["fp32"] < math.inf  # a product in minutes, on a machine that has something else to do
