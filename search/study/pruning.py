"""When a fine-tune is stopped early.

Under one objective Optuna's median pruner decides. Under several Optuna has none, so the rule is our own. After an
epoch, a bound is put on the trial's final score: its present score, improved by the largest improvement that any
complete trial of the study made from this epoch to its end (in log odds, see `fitted_scale`). The trial is stopped if
even the better end of that bound's interval is worse than the worse end of the interval of another trial's *final*
score, where that other trial costs no more in any metric.

- Learning curves may cross: a trial that begins low and rises steeply is not stopped as long as its rise would be no
  steeper than the steepest one seen. Before `STARTUP` complete trials have shown their curves, nothing is stopped.
- Many rivals: the best of many measured scores is biased upwards. The intervals have a confidence of
  1 - 0.05 / rivals (Bonferroni), so that all of them hold together with 95 %.

It is a rule of experience, not a guarantee: curves of stopped trials are not seen to their end, so a steeper one may be
among them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from optuna.pruners import MedianPruner
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial

from ...objectives.metrics.fitted_scale import FittedScale
from ...objectives.metrics.scale import Scale
from ...objectives.metrics.values import Metrics
from ..storage.trials import METRICS, feasible

CURVE = "scores after epochs"
"""The trial's user attribute with its validation scores, one for each epoch but the last."""

STARTUP = 8
"""So many complete trials must have been seen before any is stopped; Optuna's median pruner is set to the same."""

PRUNER = MedianPruner(n_startup_trials=STARTUP)

ERROR_RATE = 0.05
"""The intervals of all rivals together hold with a confidence of 1 less this."""

Watcher = Callable[[int, float], tuple[bool, str]]
"""``(epoch, score)`` → whether to stop, and why."""

GO_ON = False, ""


def watcher(study: Study, trial: Trial, costs: Metrics, scale: Scale, samples: int) -> Watcher:
    """Return what a fine-tune asks after every epoch but the last: ``(epoch, score)`` → whether to stop, and why.

    Args:
        study: whose other trials it is compared with.
        trial: the one that is fine-tuned; its scores are noted in it.
        costs: what its network costs.
        scale: how the score reads. Only a proportion's interval is known from its value and the number of samples:
            under several objectives other scores stop nothing.
        samples: of the validation split.
    """
    curve: list[float] = []
    one_objective = len(study.directions) == 1
    fitted_scale = FittedScale.of(scale, samples)

    def fitted(scores: list[float]) -> NDArray[np.float64]:
        return fitted_scale.fitted(np.array([scale.minimised(score) for score in scores]))[0]

    def stop(epoch: int, score: float) -> tuple[bool, str]:
        curve.append(score)
        trial.set_user_attr(CURVE, curve)
        if one_objective:
            trial.report(score, epoch)
            return trial.should_prune(), "worse than the median of the trials before it"
        if not scale.proportion:
            return GO_ON
        known = [
            t for t in study.get_trials(deepcopy=False) if feasible(t) and len(t.user_attrs.get(CURVE, ())) >= epoch
        ]
        rivals = [t.values[0] for t in known if _costs_no_more(t, costs)]
        if len(known) < STARTUP or not rivals:
            return GO_ON
        changes = fitted([t.values[0] for t in known]) - fitted([t.user_attrs[CURVE][epoch - 1] for t in known])
        bounds, _ = fitted_scale.values(fitted([score]) + min(0.0, changes.min()), 0.0)
        confidence = 1 - ERROR_RATE / len(rivals)
        best_end, _ = _interval(float(bounds[0]), scale, samples, confidence)
        _, worst_end = _interval(min(map(scale.minimised, rivals)), scale, samples, confidence)
        return best_end > worst_end, "clearly worse than a trial that costs no more"

    return stop


def _interval(value: float, scale: Scale, samples: int, confidence: float) -> tuple[float, float]:
    """Return the interval of a minimised score, the better end first."""
    ends = scale.interval(scale.minimised(value), samples, confidence)
    assert ends is not None, "only a proportion is compared"
    low, high = sorted(map(scale.minimised, ends))
    return low, high


def _costs_no_more(trial: FrozenTrial, costs: Metrics) -> bool:
    theirs = trial.user_attrs[METRICS]
    return all(name in theirs and theirs[name] <= cost for name, cost in costs.items())
