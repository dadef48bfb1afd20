"""The expected hypervolume improvement of plans whose cost is known and whose value is predicted.

The front dominates an area in the plane of budget fraction ``u`` and value ``v``, both minimised. It is bounded by the
reference point: budget fraction 1, and the value ``reference``. Between the budget fractions ``u_i`` and ``u_{i+1}`` of
neighbours on the front its edge is at ``v_i``; a plan at ``u`` with a value ``V ~ N(μ, σ²)`` adds

    EHVI(u) = Σ_i  |[u_i, u_{i+1}] ∩ [u, 1]| · E[(v_i - V)⁺],
    E[(v - V)⁺] = σ (z Φ(z) + φ(z)),     z = (v - μ) / σ

(Emmerich, Giannakoglou & Naujoks, IEEE Trans. Evol. Comput. 2006; as the cost is known, only the value is integrated
over). The front starts at ``u_0 = 0`` with the reference's value.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from ...space.arrays import Array

LEAST_STD = 1e-9
"""Standard deviations are at least this part of the front's range of values."""


MAX_STDS = 9.0
"""A mean that is worse than an edge by more standard deviations than this adds nothing: z is cut off there."""


def expected_hypervolume_improvement(
    front: tuple[Array, Array], reference: float, fractions: Array, mean: Array, std: Array
) -> Array:
    """Return the expected gain in area of each of ``N`` plans, ``(N,)``.

    Args:
        front: budget fractions, ascending, and values of the plans on the front, each ``(F,)``.
        reference: the reference point's value, at least that of any plan on the front.
        fractions: ``(N,)`` budget fractions of the plans.
        mean: ``(N,)`` their predicted values.
        std: ``(N,)`` standard deviations of these.
    """
    ends = np.concatenate([[0.0], front[0], [1.0]])
    edges = np.concatenate([[reference], front[1]])
    widths = (ends[1:] - np.maximum(ends[:-1], fractions[:, None])).clip(0)  # (N, steps of the front)
    std = np.maximum(std, LEAST_STD * (np.ptp(edges) or 1.0))[:, None]
    z = ((edges - mean[:, None]) / std).clip(-MAX_STDS)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return (widths * std * (z * ndtr(z) + density)).sum(1)
