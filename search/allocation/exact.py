"""The rule ``exact``: the least summed error within the limits, as an integer programme.

What `knapsack` finds nearly, SciPy's ``milp`` finds to within a share of the least. NVIDIA's ModelOpt allots bits so,
by scores from gradients and a linear programme.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..space.arrays import Choices
from ..space.candidates import Candidates
from .feasible import feasible

GAP = 1e-3
"""A plan is good enough whose summed error is at most this share above the least one; limits the time."""


def exact(candidates: Candidates, limits: Mapping[str, float]) -> Choices | None:
    """Return the choices of least summed error within the limits; None where no plan fits."""
    return feasible(candidates, limits, candidates.errors, GAP)
