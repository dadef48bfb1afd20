"""Gaps of the front: where between two neighbours on it, in budget fractions, the next plan is proposed.

A gap's weight is its rectangle's area divided by 1 + failed trials: those inside it that are not on the front. Gaps are
drawn by this weight.
"""

from __future__ import annotations

import numpy as np

from ...space.limits import limits_at
from ...space.space import Space
from .observations import FrontObservations

MIDDLE = (0.4, 0.6)
"""The part of a gap, on a logarithmic scale, in which proposals lie (see ``benchmarks/ablation.py``)."""

LEAST_LENGTH = 1e-9
"""Gaps are at least this long in budget fractions, and this part of the range of values high: no weight is 0."""

LEAST_RATIO = 1.001
"""The least ratio of a gap's ends, so that a fraction can be drawn between them."""


def draw_gap(
    space: Space, observed: FrontObservations, reference: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the ends of a gap of the front, as budget fractions.

    Args:
        space: with the limits.
        observed: one trial at least.
        reference: the largest value that counts, the front's before its first trial.
        rng: draws the gap.
    """
    fractions, values = observed.fractions[observed.front], observed.values[observed.front]
    worth = {metric: max(amount, space.down_to.get(metric, 0)) for metric, amount in space.candidates.smallest.items()}
    least = max(worth[metric] / limit for metric, limit in limits_at(space, 1.0).items())
    ends = np.concatenate([[min(least, fractions[0])], fractions, [max(1.0, fractions[-1])]])
    edges = np.concatenate([[reference], values, [2 * values[-1] - values[max(0, len(values) - 2)]]])
    others = np.delete(observed.fractions, observed.front)
    inside = np.searchsorted(ends, others, side="right") - 1
    misses = np.bincount(inside.clip(0, len(ends) - 2), minlength=len(ends) - 1)
    falls = np.maximum(-np.diff(edges), LEAST_LENGTH * (np.ptp(edges) or 1.0))
    weights = np.maximum(np.diff(ends), LEAST_LENGTH) * falls / (1 + misses)
    n = rng.choice(len(weights), p=weights / weights.sum())
    return float(ends[n]), float(max(ends[n + 1], ends[n] * LEAST_RATIO))
