"""Points on the way to the budget: where along the front a plan is proposed."""

from __future__ import annotations

from .space import Space

NARROWEST = 16
"""Under a budget, the least that a rule proposes by itself is this part of it."""

WIDEST = 0.7
"""The largest share of the dense model that is proposed where there is no budget."""


def limits_at(space: Space, reach: float) -> dict[str, float]:
    """Return the limits at a point: geometric between the least that is proposed (0) and the budget (1)."""
    dense, smallest = space.candidates.costs.dense, space.candidates.smallest
    ends = dict(space.limits) or {"params": WIDEST * dense.params}
    limits = {}
    for metric, end in ends.items():
        least = getattr(smallest, metric)
        if space.limits:
            least = max(least, end / NARROWEST)
        limits[metric] = max(least, least * (end / least) ** reach)
    return limits


def spread(n: int) -> float:
    """Return the n-th of points that fill the way evenly: the budget itself, then ½, ¼, ¾, ⅛ (van der Corput)."""
    if n == 0:
        return 1.0
    value, scale = 0.0, 0.5
    while n:
        value += scale * (n & 1)
        n, scale = n >> 1, scale / 2
    return value
