from typing import Any

import pytest
from pydantic import ValidationError

from nymph.sweeps.ledger import Trial
from nymph.sweeps.options import SweepOptions
from nymph.sweeps.search import belongs, planned, propose

SPACE = {"training.clip": [0.5, 1.0], "training.seed": [0, 1, 2]}
INTERVALS = {
    "training.optimiser.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "training.batch_rows": {"low": 2, "high": 8},
    "training.precision": ["fp32", "bf16"],
}


def options(space: dict[str, Any], **changes: Any) -> SweepOptions:
    return SweepOptions.model_validate({"space": space, **changes})


def explore(sweep: SweepOptions, trials: list[Trial]) -> list[Trial]:
    """The sweep to its end; a trial's value is how far its learning rate is from 0.01."""
    while params := propose(sweep, trials):
        rate = params.get("training.optimiser.learning_rate", 0.0)
        trials = [*trials, Trial(len(trials), params, f"run-{len(trials)}", 1, "done", abs(rate - 0.01))]
    return trials


def test_a_grid_is_every_combination_once() -> None:
    sweep = options(SPACE)
    trials = explore(sweep, [])
    assert len(trials) == planned(sweep) == 6
    assert trials[1].params == {"training.clip": 0.5, "training.seed": 1}
    assert len({str(trial.params) for trial in trials}) == 6


def test_a_grown_grid_makes_only_what_is_new() -> None:
    before = explore(options({"training.clip": [0.5, 1.0]}), [])
    after = explore(options({"training.clip": [0.5, 2.0, 1.0]}), before)
    assert [trial.params["training.clip"] for trial in after] == [0.5, 1.0, 2.0]


def test_optuna_stays_in_the_space_and_closes_in_on_the_best() -> None:
    sweep = options(INTERVALS, method="optuna", trials=30)
    trials = explore(sweep, [])
    assert len(trials) == 30
    assert all(belongs(sweep, trial.params) for trial in trials)
    assert all(isinstance(trial.params["training.batch_rows"], int) for trial in trials)
    first, last = (sum(trial.value or 0 for trial in some) for some in (trials[:10], trials[20:]))
    assert last < first


def test_an_interrupted_search_continues_as_if_it_had_not_been() -> None:
    sweep = options(INTERVALS, method="optuna", trials=14)
    whole = explore(sweep, [])
    assert explore(sweep, whole[:12]) == whole


def test_trials_outside_a_changed_space_are_none_of_it() -> None:
    assert not belongs(options({"training.clip": [0.5]}), {"training.clip": 1.0})
    assert not belongs(options({"training.clip": [0.5]}), {"training.seed": 1})


def test_null_leaves_out_what_another_file_has() -> None:
    space = {"training.clip": None, "training.seed": [1]}
    assert SweepOptions.model_validate({"space": space}).space == {"training.seed": [1]}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"space": {"training.clip": {"low": 1, "high": 2}}}, "a grid needs a list of values"),
        ({"space": {"training.clip": []}}, "expected at least one value"),
        ({"space": {"parquet.clip": [1]}}, "such as training.clip"),
        ({"method": "optuna", "space": {"training.clip": {"low": 2, "high": 1}}}, "expected low < high"),
        ({"metod": "grid"}, "metod"),
    ],
)
def test_an_impossible_space_is_refused(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        SweepOptions.model_validate(wrong)
