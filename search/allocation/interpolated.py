"""The rule ``interpolated``: between `uniform` and `energy`, the mixture of least summed error.

Swift-SVD (2026) mixes a uniform allocation with one by how well each layer compresses, tries 11 mixtures, and keeps
what does best. Here what does best has the least summed error, which costs no pass over data.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..space.arrays import Array, Choices
from ..space.candidates import Candidates
from .energy import energy
from .uniform import uniform

MIXTURES = 11
"""How many mixtures are tried, from all uniform to all energy, as in the paper."""


def interpolated(candidates: Candidates, limits: Mapping[str, float]) -> Choices | None:
    """Return the mixture of least summed error within the limits; None where no plan fits."""
    rows = np.arange(len(candidates.names))
    tried = [choices for choices in mixtures(candidates, limits) if candidates.fits(choices, limits)[0]]
    return min(tried, key=lambda choices: float(candidates.errors[rows, choices].sum()), default=None)


def mixtures(candidates: Candidates, limits: Mapping[str, float]) -> list[Choices]:
    """Return all mixtures, from `uniform`'s choices to `energy`'s: of costs, layer by layer. Empty where none fits."""
    ends = uniform(candidates, limits), energy(candidates, limits)
    if ends[0] is None or ends[1] is None:
        return []
    rows = np.arange(len(candidates.names))
    costs = candidates.changes[:, :, candidates.columns(limits)]
    start, end = (costs[rows, choices] for choices in ends)
    between = [_within(candidates, costs, start + (end - start) * way) for way in np.linspace(0, 1, MIXTURES)[1:-1]]
    return [ends[0], *between, ends[1]]


def _within(candidates: Candidates, costs: Array, allowed: Array) -> Choices:
    """Return each layer's option of least error whose costs ``(L, K, M)`` are at most those allowed ``(L, M)``.

    Where two metrics are limited, a layer may have no such option: then the one that exceeds least.
    """
    unit = np.abs(costs).max((0, 1)).clip(1)
    over = ((costs - allowed[:, None]) / unit).max(2, initial=0.0).clip(0)
    over = np.where(np.isfinite(candidates.errors), over, np.inf)
    least = over.min(1, keepdims=True)
    return np.where(over <= least, candidates.errors, np.inf).argmin(1)
