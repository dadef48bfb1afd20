"""Plans drawn at random around the knapsack's, at all costs on the way to the budget."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..space.limits import limits_at
from ..space.space import Space
from .knapsack import knapsack

SPREAD = 0.5
"""Standard deviation of the logarithm by which each layer's errors are multiplied."""

TOWARDS_BUDGET = 3
"""Of so many positions drawn on the way to the budget the plan takes the last: tiny networks would spoil the others."""


def drawn(space: Space, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return choices ``(N, L)`` of ``count`` plans at most: the knapsack's, each layer's errors multiplied at random.

    Their costs lie on the geometric way from the least that is proposed to the budget, most of them near the budget.
    """
    candidates = space.candidates
    found = []
    for position in ((np.arange(count) + 0.5) / count) ** (1 / TOWARDS_BUDGET):
        factors = np.exp(rng.normal(0, SPREAD, len(candidates.names)))
        choices = knapsack(candidates, limits_at(space, float(position)), candidates.errors * factors[:, None])
        if choices is not None:
            found.append(choices)
    return np.array(found, np.int64).reshape(-1, len(candidates.names))
