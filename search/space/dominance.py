"""Pareto dominance: which points no other point beats in every column."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def non_dominated(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which points ``(N, M)``, all columns minimised, no other point dominates; of equal points, the first.

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
