"""Gaps of the front: where between two neighbours on it, in budget fractions, the next plan is proposed.

A gap may hold at most the rectangle between its two neighbours; gaps are drawn by a power of this area. Trials in a gap
that did not get on the front make its area count less.
"""

from __future__ import annotations

import numpy as np

from ...space.limits import limits_at
from ...space.space import Space
from .observations import FrontObservations

EXPONENT = 3.0
"""The power of their areas by which gaps are drawn; tuned on ``truth``, ``digits`` and ``mnist-mlp``."""

MIDDLE = (0.4, 0.6)
"""The part of a gap, on a logarithmic scale, in which proposals lie; tuned on the same."""


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
    smallest = space.candidates.smallest
    least = max(smallest[metric] / limit for metric, limit in limits_at(space, 1.0).items())
    ends = np.concatenate([[min(least, fractions[0])], fractions, [max(1.0, fractions[-1])]])
    edges = np.concatenate([[reference], values, [2 * values[-1] - values[max(0, len(values) - 2)]]])
    others = np.delete(observed.fractions, observed.front)
    inside = np.searchsorted(ends, others, side="right") - 1
    misses = np.bincount(inside.clip(0, len(ends) - 2), minlength=len(ends) - 1)
    falls = np.maximum(-np.diff(edges), 1e-9 * (np.ptp(edges) or 1.0))
    areas = np.maximum(np.diff(ends), 1e-9) * falls / (1 + misses)
    chances = (areas / areas.max()) ** EXPONENT
    n = rng.choice(len(areas), p=chances / chances.sum())
    return float(ends[n]), float(max(ends[n + 1], ends[n] * 1.001))
