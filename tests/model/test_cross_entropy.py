import pytest
import torch
import torch.nn.functional as F

from nymph.model import cross_entropy
from nymph.model.cross_entropy import chunked_cross_entropy


@pytest.mark.parametrize("logits_at_once", [1, 200, 1 << 20])
def test_chunks_equal_plain_cross_entropy(logits_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_entropy, "LOGITS", logits_at_once)
    draw = torch.Generator().manual_seed(0)
    hidden, head = (torch.randn(n, 8, generator=draw).requires_grad_() for n in (23, 50))
    target, weight = torch.randint(50, (23,), generator=draw), torch.rand(23, generator=draw)
    loss, correct = chunked_cross_entropy(hidden, head, target, weight)
    logits = hidden @ head.T
    expected = (F.cross_entropy(logits, target, reduction="none") * weight).sum()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(correct, ((logits.argmax(1) == target) * weight).sum())
    mine, reference = (torch.autograd.grad(3 * x, (hidden, head), retain_graph=True) for x in (loss, expected))
    torch.testing.assert_close(mine, reference)


def test_no_rows_cost_nothing() -> None:
    hidden, head = torch.zeros(0, 8, requires_grad=True), torch.ones(5, 8, requires_grad=True)
    loss, correct = chunked_cross_entropy(hidden, head, torch.zeros(0, dtype=torch.long), torch.zeros(0))
    loss.backward()
    assert float(loss.detach()) == float(correct) == 0
    assert head.grad is not None
    assert not head.grad.any()


def test_half_precision_keeps_the_sum_in_float32() -> None:
    hidden = torch.randn(300, 16, dtype=torch.bfloat16, requires_grad=True)
    head = torch.randn(40, 16, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _ = chunked_cross_entropy(hidden, head, torch.zeros(300, dtype=torch.long), torch.ones(300))
    loss.backward()
    assert loss.dtype == torch.float32
    assert hidden.grad is not None
    assert hidden.grad.dtype == torch.bfloat16
    assert head.grad is not None
    assert head.grad.dtype == torch.float32
