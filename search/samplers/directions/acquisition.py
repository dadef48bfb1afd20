"""The expected hypervolume improvement of plans whose cost is known and whose score is predicted.

The front dominates an area in the plane of budget fraction ``u`` (minimised) and score ``s`` (maximised). It is bounded
by the reference point: budget fraction 1, and the score ``reference``. Between the budget fractions ``u_i`` and
``u_{i+1}`` of neighbours on the front its height is ``s_i``; a plan at ``u`` with a score ``S ~ N(μ, σ²)`` adds

    EHVI(u) = Σ_i  |[u_i, u_{i+1}] ∩ [u, 1]| · E[(S - s_i)⁺],
    E[(S - s)⁺] = σ (z Φ(z) + φ(z)),     z = (μ - s) / σ

(Emmerich, Giannakoglou & Naujoks, IEEE Trans. Evol. Comput. 2006; as the cost is known, only the score is integrated
over). The front starts at ``u_0 = 0`` with the reference's score.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Array = NDArray[np.float64]

LEAST_STD = 1e-9
"""Standard deviations are at least this part of the front's range of scores."""


def expected_hypervolume_improvement(
    front: tuple[Array, Array], reference: float, fractions: Array, mean: Array, std: Array
) -> Array:
    """Return the expected gain in area of each of ``N`` plans, ``(N,)``.

    Args:
        front: budget fractions, ascending, and scores of the plans on the front, each ``(F,)``.
        reference: the reference point's score, at most that of any plan on the front.
        fractions: ``(N,)`` budget fractions of the plans.
        mean: ``(N,)`` their predicted scores.
        std: ``(N,)`` standard deviations of these.
    """
    ends = np.concatenate([[0.0], front[0], [1.0]])
    heights = np.concatenate([[reference], front[1]])
    widths = (ends[1:] - np.maximum(ends[:-1], fractions[:, None])).clip(0)  # (N, steps of the front)
    std = np.maximum(std, LEAST_STD * (np.ptp(heights) or 1.0))[:, None]
    z = ((mean[:, None] - heights) / std).clip(-9)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return (widths * std * (z * ndtr(z) + density)).sum(1)
