"""The rule ``energy``: the same error in every layer.

The largest error of any layer is what ALDS minimises (Liebenwein et al., NeurIPS 2021), and what thresholds on the kept
energy of the singular values make equal.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..space.arrays import Array, Choices
from ..space.candidates import Candidates
from .bisection import largest_that_fits

LEAST_LEVEL = 1e-12
"""Smaller levels of error count as none: their logarithm says nothing."""


def energy(candidates: Candidates, limits: Mapping[str, float]) -> Choices | None:
    """Return the choices whose errors are equal in all layers, the smallest error that fits."""
    return largest_level(candidates, limits, candidates.errors)


def largest_level(candidates: Candidates, limits: Mapping[str, float], levels: Array) -> Choices | None:
    """Return the choices whose ``levels (L, K)`` are at most the same in all layers, the smallest level that fits."""
    columns = candidates.columns(limits) or [0]
    dense = np.array([candidates.dense[candidates.metrics[column]] for column in columns], float)
    cost = (candidates.changes[:, :, columns] / dense).sum(2)
    finite = levels[np.isfinite(levels)]
    low, high = np.log(finite[finite > LEAST_LEVEL].min(initial=1.0)), np.log(max(1.0, finite.max()))

    def at(way: float) -> Choices:
        """Allow the largest error there is at 0, an ever smaller one on the way, none at all at 1."""
        level = np.exp(high + (low - high) * way) if way < 1 else 0.0
        return np.where(levels <= level, cost, np.inf).argmin(1)

    return largest_that_fits(candidates, limits, at)
