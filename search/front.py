"""The Pareto front: the feasible trials that no other trial dominates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..objectives.errors import RankfrontError
from ..objectives.metrics import Metrics
from .budget import Budget
from .trials import COSTS


def non_dominated(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which points (N, M), all columns to be minimised, no other dominates; of equals, the first.

    >>> non_dominated(np.array([[1.0, 2.0], [2.0, 1.0], [2.0, 2.0], [1.0, 2.0]])).tolist()
    [True, True, False, False]
    """
    keep = np.ones(len(points), bool)
    for i, point in enumerate(points):
        no_worse = (points <= point).all(1)
        better = (points < point).any(1)
        earlier = np.arange(len(points)) < i
        keep[i] = not (no_worse & (better | earlier)).any()
    return keep


def front_of(table: pd.DataFrame, score: str, costs: Sequence[str] = COSTS) -> pd.DataFrame:
    """Return the rows of a trial table on the front of ``score`` (up) and ``costs`` (down), smallest first."""
    rows = table[table["feasible"].astype(bool)]
    points = np.column_stack([-rows[score].to_numpy(float), *(rows[c].to_numpy(float) for c in costs)])
    by = [*costs, score] if costs else [score]
    return rows[non_dominated(points)].sort_values(by).reset_index(drop=True)


def best_within(front: pd.DataFrame, score: str, budget: Budget, dense: Metrics) -> pd.Series:
    """Return the row with the best score within a budget; of equals, the one with fewest parameters.

    Raises:
        RankfrontError: no row keeps the budget.
    """
    inside = front
    for metric, limit in budget.limits(dense).items():
        inside = inside[inside[metric] <= limit]
    if inside.empty:
        least = {metric: front[metric].min() for metric in budget.limits(dense)}
        known = ", ".join(f"{m} {v:,.0f} ({v / getattr(dense, m):.2%})" for m, v in least.items())
        raise RankfrontError(
            f"budget {budget} is kept by no trial on the front: the smallest there has {known}"
            if len(front)
            else "the front must hold at least one trial, but none is complete within the budget yet"
        )
    return inside.sort_values([score, "params"], ascending=[False, True]).iloc[0]


def hypervolume_history(table: pd.DataFrame, score: str, cost: str, dense: Metrics) -> pd.DataFrame:
    """Return the hypervolume after each trial: the area that the front of ``score`` and ``cost`` dominates.

    The reference point is the worst score of any feasible trial and the dense model's cost; both axes
    are scaled so that this point and (the best score, cost 0) span a unit square.
    Columns: ``trial``, ``hypervolume``.
    """
    rows = table[table["feasible"].astype(bool)].sort_values("trial")
    scores = rows[score].to_numpy(float)
    span = (scores.max() - scores.min() or 1.0) if len(scores) else 1.0
    gains = (scores - scores.min(initial=np.inf)) / span
    shares = rows[cost].to_numpy(float) / getattr(dense, cost)
    volumes = [_area(shares[: n + 1], gains[: n + 1]) for n in range(len(rows))]
    return pd.DataFrame({"trial": rows["trial"].to_numpy(), "hypervolume": volumes})


def _area(costs: NDArray[np.float64], gains: NDArray[np.float64]) -> float:
    """Return the area below and right of the points, up to cost 1."""
    order = np.argsort(costs)
    costs, heights = costs[order], np.maximum.accumulate(gains[order])
    widths = np.diff(np.append(costs, 1.0))
    return float((widths.clip(0) * heights).sum())
