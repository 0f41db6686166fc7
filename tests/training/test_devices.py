from types import SimpleNamespace

import pytest
import torch

from nymph.errors import NymphError
from nymph.training import devices
from nymph.training.devices import check_architecture, check_compile, pick_device

CU128 = ["sm_70", "sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]
CU126 = ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"]


def test_pascal_on_a_build_without_it_names_the_build_that_has_it() -> None:
    with pytest.raises(NymphError, match=r"no code for cuda:0 \(sm_61\); install the cu126 build"):
        check_architecture((6, 1), CU128, "cuda:0")


@pytest.mark.parametrize(
    ("capability", "built"), [((6, 1), CU126), ((8, 9), CU128), ((9, 0), CU128), ((12, 1), CU128), ((13, 0), CU128)]
)
def test_a_card_the_build_has_code_for_passes(capability: tuple[int, int], built: list[str]) -> None:
    check_architecture(capability, built, "cuda:0")


def test_a_card_newer_than_the_build_asks_for_a_newer_torch() -> None:
    with pytest.raises(NymphError, match="update torch"):
        check_architecture((10, 0), CU126, "cuda:0")


def test_auto_is_the_cpu_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == torch.device("cpu")
    with pytest.raises(NymphError, match="torch sees no GPU"):
        pick_device("cuda")


@pytest.mark.parametrize("device", ["gpu", "cpu:7", "meta", "cuda:-1", "cuda:007", "cuda:999"])
def test_an_unknown_device_is_refused(device: str) -> None:
    with pytest.raises(NymphError, match=f"device must be auto, cpu, cuda or cuda:N, got '{device}'"):
        pick_device(device)


def test_pascal_does_not_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (6, 1))
    with pytest.raises(NymphError, match="set compile to false"):
        check_compile(torch.device("cuda", 0))
    check_compile(torch.device("cpu"))


def test_memory_is_looked_up_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now, used = 5.0, 1000
    monkeypatch.setattr(devices, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(devices, "memory_bytes", lambda _: used)
    gauge = devices.MemoryGauge(torch.device("cpu"))
    assert gauge.read() == 1000
    now, used = 5.9, 2000
    assert gauge.read() == 1000
    now = 6.0
    assert gauge.read() == 2000
