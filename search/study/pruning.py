"""When a fine-tune is stopped early.

Under one objective Optuna's median pruner decides. Under several Optuna has none, so the rule is our own. After an
epoch, a trial's final score is bounded: its present score, plus the largest gain that any complete trial of the study
made from this epoch to its end (in log odds, in which gains near 100 % compare with gains further down). The trial is
stopped if even the upper end of that bound's interval is below the lower end of the interval of another trial's *final*
score, where that other trial costs no more in any metric.

- Learning curves may cross: a trial that begins low and rises steeply is not stopped as long as its rise would be no
  steeper than the steepest one seen. Before `STARTUP` complete trials have shown their curves, nothing is stopped.
- Many rivals: the best of many measured scores is too good by luck. The intervals have a confidence of
  1 - 0.05 / rivals (Bonferroni), so that all of them hold together with 95 %.

It is a rule of experience, not a guarantee: curves of stopped trials are not seen to their end, so a steeper one may be
among them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from optuna.pruners import MedianPruner
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial
from scipy.special import expit, logit

from ...objectives.metrics.scale import Scale
from ...objectives.metrics.values import Metrics
from ..storage.trials import METRICS, feasible

CURVE = "scores after epochs"
"""The trial's user attribute with its validation scores, one for each epoch but the last."""

STARTUP = 8
"""So many complete trials must have been seen before any is stopped; Optuna's median pruner is set to the same."""

PRUNER = MedianPruner(n_startup_trials=STARTUP)


def watcher(study: Study, trial: Trial, costs: Metrics, scale: Scale, samples: int) -> Callable[[int, float], bool]:
    """Return what a fine-tune asks after every epoch but the last: ``(epoch, score)`` → whether to stop.

    Args:
        study: whose other trials it is compared with.
        trial: the one that is fine-tuned; its scores are noted in it.
        costs: what its network costs.
        scale: how the score reads. Only a proportion has intervals: under several objectives other scores stop nothing.
        samples: of the validation split.
    """
    curve: list[float] = []
    alone = len(study.directions) == 1

    def behind(epoch: int, score: float) -> bool:
        curve.append(score)
        trial.set_user_attr(CURVE, curve)
        if alone:
            trial.report(score, epoch)
            return trial.should_prune()
        if not scale.proportion:
            return False
        known = [
            t for t in study.get_trials(deepcopy=False) if feasible(t) and len(t.user_attrs.get(CURVE, ())) >= epoch
        ]
        rivals = [t.values[0] for t in known if _costs_no_more(t, costs)]
        if len(known) < STARTUP or not rivals:
            return False
        odds = _log_odds([t.values[0] for t in known], scale, samples)
        gains = odds - _log_odds([t.user_attrs[CURVE][epoch - 1] for t in known], scale, samples)
        bound = expit(_log_odds([score], scale, samples)[0] + max(0.0, gains.max()))
        best = max(_right(rival, scale) for rival in rivals)
        confidence = 1 - 0.05 / len(rivals)
        share = Scale(scale.name, proportion=True)
        upper, lower = share.interval(bound, samples, confidence), share.interval(best, samples, confidence)
        return upper is not None and lower is not None and upper[1] < lower[0]

    return behind


def _right(score: float, scale: Scale) -> float:
    """Return the share of samples that are right, also where the score is the share that is wrong."""
    return score if scale.higher_is_better else 1 - score


def _log_odds(scores: list[float], scale: Scale, samples: int) -> np.ndarray:
    """Return the log odds of being right, finite also where all or none are."""
    right = np.array([_right(score, scale) for score in scores])
    return logit((samples * right + 0.5) / (samples + 1))


def _costs_no_more(trial: FrozenTrial, costs: Metrics) -> bool:
    theirs = trial.user_attrs[METRICS]
    return all(name in theirs and theirs[name] <= cost for name, cost in costs.items())
