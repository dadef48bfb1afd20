"""What is known while trials run: the best so far, and what a trial that has just ended changed."""

from __future__ import annotations

from collections.abc import Sequence

from ...objectives.errors import RankfrontError
from ...objectives.metrics.amounts import share_shown
from ...objectives.metrics.registry import SIZE
from ..space.budget import Budget
from ..storage.dense import DenseModel
from ..storage.trials import Scored
from .best import chosen
from .front import front_of


def best_so_far(trials: Sequence[Scored], budget: Budget, dense: DenseModel) -> str:
    """Return which of these trials is the best within a budget, its score, and its share of what the budget bounds.

    Nothing where none keeps the budget.
    """
    best = _best(trials, budget, dense)
    if best is None:
        return ""
    bounded = [bound.metric for bound in budget.bounds if bound.metric in best.metrics] or [SIZE]
    costs = [f"{name} {share_shown(best.metrics[name], dense.metrics[name])}" for name in dict.fromkeys(bounded)]
    return f"trial {best.trial} with {', '.join([f'{dense.scale.name} {dense.scale.show(best.score)}', *costs])}"


def changed_by(trial: int, trials: Sequence[Scored], budget: Budget, dense: DenseModel) -> str:
    """Return what a trial changed: it is the best so far, or replaced others on the front; nothing where neither.

    Nothing is said of the first: with several costs almost every trial is on the front at the beginning.

    Args:
        trial: the number of the trial that has just ended.
        trials: those of which any may be on the front, with it.
        budget: what the best is to keep.
        dense: the dense model, whose costs span the front.
    """
    others = [other for other in trials if other.trial != trial]
    best = _best(trials, budget, dense)
    if others and best is not None and best.trial == trial:
        return "best so far"
    front = {each.trial for each in front_of(trials, dense.costs)}
    gone = sorted({each.trial for each in front_of(others, dense.costs)} - front) if trial in front else []
    if not gone:
        return ""
    which = f"trial {gone[0]}" if len(gone) == 1 else f"trials {', '.join(map(str, gone))}"
    return f"replaces {which} on the front"


def _best(trials: Sequence[Scored], budget: Budget, dense: DenseModel) -> Scored | None:
    try:
        return chosen(trials, budget, dense)
    except RankfrontError:
        return None
