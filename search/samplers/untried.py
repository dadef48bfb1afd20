"""No plan is trained twice by accident: a proposal that was tried is replaced by a similar plan that was not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from ..space.arrays import Choices
from ..space.space import Space
from .history import History
from .sampler import ChoicesSampler

ATTEMPTS = 200
"""Number of local, then of random, attempts; limits the time of a proposal."""

FARTHER_EVERY = 20
"""After so many local attempts the largest step in a layer grows by one place."""

MOVED = 0.3
"""The expected share of layers that a local attempt changes."""


@final
@dataclass(frozen=True)
class WithoutRepeats:
    """Another sampler's proposals, each replaced where it was tried."""

    sampler: ChoicesSampler

    def propose(self, history: History, slot: int, /) -> Choices:
        """Return the other sampler's proposal, or a plan near it that was not tried and keeps the limits."""
        choices = self.sampler.propose(history, slot)
        rng = np.random.default_rng(history.problem.seed_of(slot))
        return untried(history.problem.space, choices, history.refreshed().tried, rng)


def keys(choices: NDArray[np.int64]) -> set[bytes]:
    """Return each plan of ``choices (N, L)`` as something that can be looked up."""
    return {row.tobytes() for row in np.ascontiguousarray(choices, np.int64)}


def untried(space: Space, choices: Choices, tried: NDArray[np.int64], rng: np.random.Generator) -> Choices:
    """Return ``choices (L,)``, or where they are among ``tried (T, L)``, choices near them that are not and fit.

    Where none is found (a tiny space, exhausted), the choices themselves.
    """
    known = keys(tried)
    sizes = space.candidates.sizes
    here = choices
    for attempt in range(2 * ATTEMPTS):
        if not keys(here[None]) & known and space.fits(here)[0]:
            return here
        if attempt < ATTEMPTS:
            largest = 1 + attempt // FARTHER_EVERY
            step = rng.integers(-largest, largest + 1, len(choices)) * (rng.random(len(choices)) < MOVED)
            here = np.clip(choices + step, 0, sizes - 1)
        else:
            here = rng.integers(0, sizes)
    return choices
