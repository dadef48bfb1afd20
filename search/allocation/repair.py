"""The repair of a plan that exceeds the limits: the nearest plan that keeps them.

Distance is the sum over layers of the squared difference between the logarithms of the options' places (the first place
is 1). On this scale the parameters of `Space` are distributed, and one rank more or less counts most where ranks are
small. The nearest plan is a knapsack with these squares as errors, so a plan is found whenever there is one, whatever
the metrics, and for kinds whose flops do not fall with their parameters.
"""

from __future__ import annotations

import numpy as np

from ..space.arrays import Choices
from ..space.space import Space
from .knapsack import knapsack


def repaired(space: Space, choices: Choices) -> Choices:
    """Return ``choices (L,)`` as they are where they keep the space's limits, else the nearest ones that do.

    Where no plan keeps the limits, ``choices`` are returned as they are.
    """
    if space.fits(choices)[0]:
        return choices
    candidates = space.candidates
    places = np.log(np.arange(1, candidates.errors.shape[1] + 1))
    distances = np.where(np.isfinite(candidates.errors), (places - places[choices][:, None]) ** 2, np.inf)
    nearest = knapsack(candidates, space.limits, distances)
    return choices if nearest is None else nearest
