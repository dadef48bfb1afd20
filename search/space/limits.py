"""Fractions of the budget: the limits at a point between the smallest proposal and the budget, and what plans use.

A *budget fraction* of 1 is the budget itself. Where there are several limits, it is the largest share of any of them
that a plan uses.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...objectives.metrics.registry import SIZE
from .space import Space

SMALLEST_PART = 16
"""Under a budget that does not say how far down the front goes, proposals aim at no less than this part (1/16)."""

LARGEST_SHARE = 0.7
"""Without a budget, the largest share of the dense model's parameters that is proposed."""


def limits_at(space: Space, position: float) -> dict[str, float]:
    """Return metric → limit at a position on the geometric way from the least that is proposed (0) to the budget (1).

    Without a budget the way ends at `LARGEST_SHARE` of the dense model's parameters.
    """
    candidates = space.candidates
    ends = dict(space.limits) or {SIZE: LARGEST_SHARE * candidates.dense[SIZE]}
    limits = {}
    for metric, end in ends.items():
        least = candidates.smallest[metric]
        if space.limits:
            least = max(least, space.down_to.get(metric, end / SMALLEST_PART))
        # The budget itself is exact: a plan may use all of it.
        limits[metric] = max(least, end if position == 1 else least * (end / least) ** position)
    return limits


def budget_fractions(space: Space, choices: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the fraction of the budget ``(N,)`` that plans ``(N, L)`` use: the largest share of any limit."""
    costs = space.candidates.costs_of(choices)
    return np.max([costs[metric] / limit for metric, limit in limits_at(space, 1.0).items()], axis=0)


def van_der_corput(n: int) -> float:
    """Return the n-th point of a low-discrepancy sequence on (0, 1]: 1, then van der Corput's ½, ¼, ¾ and so on.

    >>> [van_der_corput(n) for n in range(5)]
    [1.0, 0.5, 0.25, 0.75, 0.125]
    """
    if n == 0:
        return 1.0
    value, scale = 0.0, 0.5
    while n:
        value += scale * (n & 1)
        n, scale = n >> 1, scale / 2
    return value
