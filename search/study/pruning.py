"""When a fine-tune is stopped early: where it is clearly behind one that costs no more.

Under one objective that is for Optuna's median pruner to say. Under several Optuna has none: here a fine-tune stops
after an epoch in which the upper end of its accuracy's 95 % interval is below the lower end of another trial's, after
the same epoch, that costs no more in anything. So nothing on the front is lost but by a chance of a few in a thousand.
"""

from __future__ import annotations

from collections.abc import Callable

from optuna.pruners import MedianPruner
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial

from ...objectives.metrics.count import Metrics
from ..results.intervals import wilson
from ..storage.trials import METRICS, feasible

CURVE = "scores after epochs"
"""The trial's user attribute with its validation scores, an epoch each."""

PRUNER = MedianPruner(n_startup_trials=8)


def watcher(study: Study, trial: Trial, costs: Metrics, samples: int) -> Callable[[int, float], bool]:
    """Return what a fine-tune asks after every epoch but the last: ``(epoch, score)`` → whether to stop.

    Args:
        study: whose other trials it is compared with.
        trial: the one that is fine-tuned; its scores are noted in it.
        costs: what its network costs.
        samples: of the validation split, where the score is an accuracy; else 0, and several objectives stop nothing.
    """
    curve: list[float] = []
    alone = len(study.directions) == 1

    def behind(epoch: int, score: float) -> bool:
        curve.append(score)
        trial.set_user_attr(CURVE, curve)
        if alone:
            trial.report(score, epoch)
            return trial.should_prune()
        if not samples:
            return False
        _, high = wilson(score, samples)
        return any(wilson(other, samples)[0] > high for other in _rivals(study, costs, epoch))

    return behind


def _rivals(study: Study, costs: Metrics, epoch: int) -> list[float]:
    """Return the scores, after that epoch, of the complete trials that cost no more."""

    def cheaper(trial: FrozenTrial) -> bool:
        theirs = trial.user_attrs[METRICS]
        return all(theirs[name] <= cost for name, cost in costs._asdict().items())

    known = [t for t in study.get_trials(deepcopy=False) if feasible(t) and len(t.user_attrs.get(CURVE, ())) >= epoch]
    return [t.user_attrs[CURVE][epoch - 1] for t in known if cheaper(t)]
