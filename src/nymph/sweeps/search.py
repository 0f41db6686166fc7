"""Which parameters to try next, as a pure function of what was tried: a killed sweep goes on as if nothing were."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nymph.sweeps.ledger import Trial
from nymph.sweeps.options import Interval, SweepOptions

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def planned(options: SweepOptions) -> int:
    """Trials of the whole sweep."""
    return len(_grid(options)) if options.method == "grid" else options.trials


def propose(options: SweepOptions, trials: Sequence[Trial]) -> dict[str, Any] | None:
    """Parameters of one more trial, given all so far; None where there are enough."""
    if options.method == "optuna":
        return _ask_optuna(options, trials) if len(trials) < options.trials else None
    tried = [trial.params for trial in trials]
    return next((params for params in _grid(options) if params not in tried), None)


def belongs(options: SweepOptions, params: dict[str, Any]) -> bool:
    """Whether a trial of an earlier start is still one of this sweep, whose space may have changed."""
    return params.keys() == options.space.keys() and all(
        space.low <= params[name] <= space.high if isinstance(space, Interval) else params[name] in space
        for name, space in options.space.items()
    )


def _grid(options: SweepOptions) -> list[dict[str, Any]]:
    """Every combination, the last parameter changing fastest."""
    values = [space for space in options.space.values() if not isinstance(space, Interval)]
    return [dict(zip(options.space, chosen, strict=True)) for chosen in itertools.product(*values)]


def _ask_optuna(options: SweepOptions, trials: Sequence[Trial]) -> dict[str, Any]:
    """A study is made anew for each question: milliseconds, and nothing but the ledger to keep."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = {name: _distribution(values) for name, values in options.space.items()}
    sampler = optuna.samplers.TPESampler(seed=options.seed + len(trials), constant_liar=True)
    study = optuna.create_study(sampler=sampler)
    states = {
        "done": optuna.trial.TrialState.COMPLETE,
        "failed": optuna.trial.TrialState.FAIL,
        "running": optuna.trial.TrialState.RUNNING,
    }
    for trial in trials:
        study.add_trial(
            optuna.trial.create_trial(
                state=states[trial.status], params=trial.params, distributions=space, value=trial.value
            )
        )
    return dict(study.ask(space).params)


def _distribution(space: "list[Any] | Interval") -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(space, Interval):
        return CategoricalDistribution(space)
    if space.whole:
        return IntDistribution(int(space.low), int(space.high), log=space.log)
    return FloatDistribution(space.low, space.high, log=space.log)
