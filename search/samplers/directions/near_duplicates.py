"""Near-duplicates: plans whose difference is smaller than the noise of a trial, of which one is enough."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...space.limits import budget_fractions
from ...space.space import Space

SAME_ERRORS = 0.02
"""Plans are near-duplicates whose layers' errors differ by less, relative to their sum; tuned on ``truth``."""

SAME_COST = 0.01
"""… and whose costs differ by less, relatively."""


def near_duplicates(space: Space, choices: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which plans ``(N, L)`` are near-duplicates of one of the others ``(M, L)``, ``(N,)``."""
    if not len(others) or not len(choices):
        return np.zeros(len(choices), bool)
    ratio = budget_fractions(space, choices)[:, None] / budget_fractions(space, others)[None]
    same_cost = np.abs(ratio - 1) < SAME_COST
    concerned = same_cost.any(0)
    layers, errors = np.arange(choices.shape[1]), space.candidates.errors
    ours, theirs = errors[layers, choices], errors[layers, others[concerned]]
    apart = np.abs(ours[:, None] - theirs[None]).sum(2)
    return ((apart <= SAME_ERRORS * ours.sum(1)[:, None]) & same_cost[:, concerned]).any(1)


def first_distinct(space: Space, choices: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the first ``count`` plans of ``(N, L)`` that are no near-duplicates of one before; fewer if there are."""
    few = choices[:1]
    for one in choices[1:]:
        if len(few) == count:
            break
        if not near_duplicates(space, one[None], few)[0]:
            few = np.vstack([few, one])
    return few
