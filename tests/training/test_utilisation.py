"""Model FLOPs utilisation."""

import pytest
import torch

from nymph.model.estimate import estimate
from nymph.training import utilisation
from nymph.training.utilisation import Utilisation
from nymph.training.world import World
from tests.training.conftest import JobMaker


def test_it_is_flops_done_by_flops_the_device_can_do(make_job: JobMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_job().model
    monkeypatch.setattr(utilisation, "gemm_speeds", lambda device: {"fp32": 2e9, "bf16": 4e9})
    per_second = 1e9 / estimate(config).flops_per_token
    world = World(torch.device("cpu"))
    assert Utilisation(config, "fp32", world).of(per_second) == pytest.approx(0.5)
    assert Utilisation(config, "bf16", world).of(per_second) == pytest.approx(0.25)
