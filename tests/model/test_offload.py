"""Activations that wait in a file."""

from pathlib import Path

import pytest
import torch

from nymph.errors import NymphError
from nymph.model.offload import offloaded


def test_gradients_are_the_same_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    first, second = (torch.randn(700, 900, generator=torch.Generator().manual_seed(0)) for _ in range(2))
    first.requires_grad_(), second.requires_grad_()
    (first * first).sin().sum().backward()
    with offloaded(torch.device("cpu")):
        out = (second * second).sin().sum()
    out.backward()
    torch.testing.assert_close(first.grad, second.grad, rtol=0, atol=0)
    assert not list(tmp_path.iterdir())


def test_no_room_for_activations_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    with offloaded(torch.device("cpu")), pytest.raises(NymphError, match=r"No space left.*TMPDIR"):
        torch.ones(700, 900, requires_grad=True).square()
