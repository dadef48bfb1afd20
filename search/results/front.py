"""The Pareto front: the feasible trials that no other trial dominates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...objectives.errors import RankfrontError
from ...objectives.metrics.count import Metrics
from ..space.budget import Budget
from ..storage.trials import COSTS, Scored


def non_dominated(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which points (N, M), all columns to be minimised, no other dominates; of equals, the first.

    >>> non_dominated(np.array([[1.0, 2.0], [2.0, 1.0], [2.0, 2.0], [1.0, 2.0]])).tolist()
    [True, True, False, False]
    """
    keep = np.zeros(len(points), bool)
    front = np.empty_like(points)
    size = 0
    # In ascending order whatever dominates a point, or equals it, comes before it.
    for i in np.lexsort((np.arange(len(points)), *points.T[::-1])):
        if not (front[:size] <= points[i]).all(1).any():
            keep[i] = True
            front[size] = points[i]
            size += 1
    return keep


LEADERS = 10
"""So many of the best scores may be run again, and their weights are kept."""


def kept_of(trials: Sequence[Scored]) -> list[Scored]:
    """Return the trials whose weights are kept: on the front of all costs by their bare scores, or leaders by these.

    A trial that is not kept is never wanted again: bare scores do not change, so no later trial brings it back.
    """
    bare = [replace(t, luck=0.0) for t in trials]
    leaders = sorted(trials, key=lambda t: -t.score)[:LEADERS]
    wanted = {t.trial for t in (*front_of(bare), *leaders)}
    return [t for t in trials if t.trial in wanted]


def front_of(trials: Sequence[Scored], costs: Sequence[str] = COSTS) -> list[Scored]:
    """Return the trials on the front of the score, less luck (up), and ``costs`` (down), smallest first.

    Of several runs of a plan, the one that scored best stands for it.
    """
    trials = sorted(trials, key=lambda t: (-t.score, t.trial))
    points = np.array([[-t.judged, *(getattr(t.metrics, c) for c in costs)] for t in trials], float)
    keep = non_dominated(points.reshape(len(trials), 1 + len(costs)))
    front = [trial for trial, kept in zip(trials, keep, strict=True) if kept]
    return sorted(front, key=lambda t: (*(getattr(t.metrics, c) for c in costs), t.judged))


def best_within(front: Sequence[Scored], budget: Budget, dense: Metrics) -> Scored:
    """Return the trial with the best score, less luck, within a budget; of equals, the one with fewest parameters.

    Raises:
        RankfrontError: no trial keeps the budget.
    """
    if not front:
        raise RankfrontError("the front must hold at least one trial, but none is complete within the budget yet")
    limits = budget.limits(dense)
    inside = [t for t in front if all(getattr(t.metrics, m) <= limit for m, limit in limits.items())]
    if not inside:
        least = {m: min(getattr(t.metrics, m) for t in front) for m in limits}
        known = ", ".join(f"{m} {v:,} ({v / getattr(dense, m):.2%})" for m, v in least.items())
        raise RankfrontError(f"budget {budget} is kept by no trial on the front: the smallest there has {known}")
    return max(inside, key=lambda t: (t.judged, -t.metrics.params))


def hypervolume_history(trials: Sequence[Scored], cost: str, dense: Metrics) -> list[float]:
    """Return the hypervolume after each trial: the area that the front of the score and ``cost`` dominates.

    The reference point is the worst score of any trial given and the dense model's cost; both axes are
    scaled so that this point and (the best score, cost 0) span a unit square.
    """
    if not trials:
        return []
    scores = np.array([t.score for t in trials])
    gains = (scores - scores.min()) / (np.ptp(scores) or 1.0)
    shares = np.array([getattr(t.metrics, cost) for t in trials]) / getattr(dense, cost)
    return [area(shares[: n + 1], gains[: n + 1]) for n in range(len(trials))]


def area(costs: NDArray[np.float64], gains: NDArray[np.float64]) -> float:
    """Return the area below and right of points ``(costs, gains)``, up to cost 1 and down to gain 0."""
    order = np.argsort(costs)
    costs, heights = costs[order], np.maximum.accumulate(gains[order])
    widths = np.diff(np.append(costs, 1.0))
    return float((widths.clip(0) * heights).sum())
