"""The Pareto front: the feasible trials that no other trial dominates. Everything here is minimised."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...objectives.errors import RankfrontError
from ...objectives.metrics.amounts import share_shown
from ...objectives.metrics.registry import SIZE, metric_named
from ...objectives.metrics.values import Metrics
from ..space.budget import Budget
from ..space.dominance import non_dominated
from ..storage.dense import DenseModel
from ..storage.repeats import LEADERS
from ..storage.trials import Scored


def retained_of(trials: Sequence[Scored], costs: Sequence[str]) -> list[Scored]:
    """Return the trials whose weights are kept: those on the uncorrected front, and the ten best uncorrected scores.

    A trial that is not kept is never wanted again: uncorrected scores do not change, so no later trial brings it back.
    """
    uncorrected = [replace(t, selection_bias=0.0) for t in trials]
    leaders = sorted(trials, key=lambda t: t.minimised)[:LEADERS]
    wanted = {t.trial for t in (*front_of(uncorrected, costs), *leaders)}
    return [t for t in trials if t.trial in wanted]


def front_of(trials: Sequence[Scored], costs: Sequence[str]) -> list[Scored]:
    """Return the trials on the front of the corrected score and ``costs``, the cheapest first.

    Of several runs of a plan, the one that scored best stands for it.
    """
    trials = sorted(trials, key=lambda t: (t.minimised, t.trial))
    points = np.array([[t.corrected, *(t.metrics.get(c, math.inf) for c in costs)] for t in trials], float)
    keep = non_dominated(points.reshape(len(trials), 1 + len(costs)))
    front = [trial for trial, kept in zip(trials, keep, strict=True) if kept]
    return sorted(front, key=lambda t: (*(t.metrics.get(c, math.inf) for c in costs), -t.corrected))


def best_within(front: Sequence[Scored], budget: Budget, dense: Metrics) -> Scored:
    """Return the trial with the best corrected score within a budget; of equals, the cheapest, metric by metric.

    Raises:
        RankfrontError: no trial keeps the budget, or the study knows no such metric.
    """
    if not front:
        raise RankfrontError("the front must hold at least one trial, but none is complete within the budget yet")
    limits = budget.limits(dense)
    inside = [t for t in front if all(t.metrics.get(m, math.inf) <= limit for m, limit in limits.items())]
    if not inside:
        least = {m: min(t.metrics.get(m, math.nan) for t in front) for m in limits}
        known = ", ".join(f"{m} {metric_named(m).show(v)} ({share_shown(v, dense[m])})" for m, v in least.items())
        raise RankfrontError(f"budget {budget} is kept by no trial on the front: the smallest there has {known}")
    return min(inside, key=lambda t: (t.corrected, *(t.metrics.get(m, math.inf) for m in dense), t.trial))


def smallest_within(trials: Sequence[Scored], budget: Budget, dense: DenseModel) -> Scored:
    """Return the smallest trial within a budget whose score is not below the budget's floor; of equals the best.

    It is the one of fewest parameters, or of the least of what the budget bounds first.

    Raises:
        RankfrontError: no trial keeps the budget; what the best score of those is that keep the other bounds.
    """
    assert budget.floor is not None
    worst, limits = budget.floor.worst(dense.score, dense.scale), budget.limits(dense.metrics)
    inside = [t for t in trials if all(t.metrics.get(m, math.inf) <= limit for m, limit in limits.items())]
    held = [t for t in inside if t.minimised <= worst]
    if not held:
        best = min(inside, key=lambda t: t.minimised, default=None)
        found = "none keeps the other bounds" if best is None else f"the best there has {dense.scale.show(best.score)}"
        raise RankfrontError(
            f"budget {budget} is kept by no trial: the {dense.scale.name} asked for is "
            f"{dense.scale.show(dense.scale.minimised(worst))}, but {found}"
        )
    size = budget.bounds[0].metric if budget.bounds else SIZE
    return min(held, key=lambda t: (t.metrics.get(size, math.inf), t.minimised, t.trial))


def hypervolume_history(trials: Sequence[Scored], cost: str, dense: Metrics) -> list[float]:
    """Return the hypervolume after each trial: the area that the front of the score and ``cost`` dominates.

    The reference point is the worst score of any trial given and the dense model's cost. Both axes are scaled so that
    this point and (the best score, cost 0) span a unit square. A trial that costs more than the dense one adds nothing.
    """
    if not trials:
        return []
    scores = np.array([t.minimised for t in trials])
    gains = (scores.max() - scores) / (np.ptp(scores) or 1.0)
    shares = np.array([t.metrics.get(cost, math.inf) for t in trials]) / dense[cost]
    return [area(shares[: n + 1], gains[: n + 1]) for n in range(len(trials))]


def area(costs: NDArray[np.float64], gains: NDArray[np.float64]) -> float:
    """Return the area that points ``(costs, gains)`` dominate within costs from 0 to 1 and gains from 0 up.

    A point dominates all that costs more and gains less. Points of cost 1 and more dominate nothing of it. A gain is
    how far a minimised value lies below the reference point: areas are made of lengths, so here more is better.

    >>> area(np.array([0.5, 3.0]), np.array([0.5, 1.0]))
    0.25
    """
    order = np.argsort(costs, kind="stable")
    costs, heights = costs[order], np.maximum.accumulate(gains[order])
    widths = np.diff(np.append(costs.clip(max=1.0), 1.0))
    return float((widths.clip(0) * heights).sum())
