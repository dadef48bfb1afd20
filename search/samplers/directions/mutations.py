"""Mutations: plans on the front with up to three layers changed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...space.limits import budget_fractions
from ...space.space import Space
from .observations import FrontObservations

MUTATIONS = 64
"""How many are drawn for a proposal; more cost time and changed little on ``benchmarks/search.py``."""

PARENTS = 3
"""How many plans on the front, the nearest in budget fraction, are mutated; limits how far a parent is."""

LAYERS = 3
"""The largest number of layers that a mutation changes, so that it stays near its parent."""

STEP = 0.7
"""Standard deviation of the logarithm of a layer's step, in places; the median step is 1."""


def mutated(space: Space, observed: FrontObservations, fraction: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return mutations ``(M, L)`` that fit, of the plans on the front near a budget fraction; M ≤ `MUTATIONS`."""
    front, sizes = observed.front, space.candidates.sizes
    if not len(front):
        return np.zeros((0, len(sizes)), np.int64)
    nearest = front[np.argsort(np.abs(np.log(observed.fractions[front] / fraction)), kind="stable")[:PARENTS]]
    parents = observed.choices[rng.choice(nearest, MUTATIONS)]
    layers = parents.shape[1]
    steps = np.rint(rng.choice([-1, 1], parents.shape) * np.exp(rng.normal(0, STEP, parents.shape)))
    which = rng.random(parents.shape).argsort(1) < rng.integers(1, min(LAYERS, layers) + 1, (MUTATIONS, 1))
    choices = np.clip(parents + (steps * which).astype(np.int64), 0, sizes - 1)
    return choices[budget_fractions(space, choices) <= 1.0]
