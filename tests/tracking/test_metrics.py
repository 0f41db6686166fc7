"""Event log lines become named numbers."""

from nymph.tracking.metrics import numbers


def test_a_step_gives_its_numbers_under_train() -> None:
    event = {"seq": 3, "time": 1.0, "kind": "step", "step": 7, "loss": 0.5, "losses": {"next_token": 0.4}, "tokens": 9}
    assert dict(numbers(event)) == {"train/loss": 0.5, "train/loss.next_token": 0.4, "train/tokens": 9}


def test_an_evaluation_is_named_by_its_split() -> None:
    event = {"kind": "evaluation", "step": 7, "split": "validation", "loss": 0.5, "accuracy": 0.25}
    assert dict(numbers(event)) == {"validation/loss": 0.5, "validation/accuracy": 0.25}


def test_null_stays_as_absence() -> None:
    assert dict(numbers({"kind": "step", "step": 1, "loss": None})) == {"train/loss": None}


def test_texts_flags_and_life_cycle_events_are_no_metrics() -> None:
    assert not dict(numbers({"kind": "start", "parameters": 10}))
    assert not dict(numbers({"kind": "step", "step": 1, "device": "cpu", "compiled": True}))
