"""An exact search for a plan within several limits, by integer programming.

    minimise   Σ_l  e_l(c_l)      subject to   Σ_l cost_l(c_l) ≤ limit,  for every limit

With two limits or more, the knapsack's multipliers can miss all plans that fit. SciPy's ``milp`` (HiGHS, branch and
bound) finds one whenever there is one. It takes longer than the multipliers, so it is asked only where they find none.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..space.arrays import Array, Choices
from ..space.candidates import Candidates

GAP = 0.05
"""A plan is good enough whose summed error is at most this share above the least one; limits the time."""

ATTEMPTS = 32
"""How many plans are looked at whose sums keep the limits, but which do not exactly; limits the time."""

SLACK = 0.01
"""By how much a metric may differ from its sum over layers, as a share of the dense model's.

The header of a file is a few bytes a layer larger or smaller.
"""


def feasible(candidates: Candidates, limits: Mapping[str, float], errors: Array, gap: float = GAP) -> Choices | None:
    """Return choices ``(L,)`` within the limits, of (nearly) least summed error; None where no plan fits.

    Args:
        candidates: every layer's options.
        limits: metric → upper bound on the whole compressed model, absolute.
        errors: ``(L, K)``, what is minimised.
        gap: by which share the sum may be above the least one.
    """
    inexact = [metric for metric in limits if not candidates.costs.is_additive(metric)]
    widened = {
        metric: limit + SLACK * (metric in inexact) * candidates.dense[metric] for metric, limit in limits.items()
    }
    if any(_least(candidates, metric) > limit for metric, limit in widened.items()):
        return None
    choices = _search(candidates, limits, limits, errors, gap)
    if choices is not None or not inexact:
        return choices
    # A plan may fit whose sum does not: look at plans in ascending order of the sum.
    dense = np.array([candidates.dense[metric] for metric in inexact], float)
    sums = (candidates.changes[:, :, candidates.columns(inexact)] / dense).sum(2)
    return _search(candidates, limits, widened, sums, 0.0)


def _least(candidates: Candidates, metric: str) -> float:
    """Return the least sum over layers that any plan has in a metric."""
    changes = candidates.changes[:, :, candidates.metrics.index(metric)]
    return candidates.start[metric] + float(np.where(np.isfinite(candidates.errors), changes, np.inf).min(1).sum())


def _search(
    candidates: Candidates, limits: Mapping[str, float], bounds: Mapping[str, float], objective: Array, gap: float
) -> Choices | None:
    """Return choices of (nearly) least ``objective (L, K)`` that keep the limits, among those whose sums keep bounds.

    A plan that does not keep the limits exactly is excluded, and the search is repeated.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    layers, options = np.nonzero(np.isfinite(candidates.errors))  # a binary variable for each option of a layer
    one_a_layer = (layers == np.arange(len(objective))[:, None]).astype(float)
    constraints = [LinearConstraint(one_a_layer, 1, 1)]  # pyright: ignore[reportArgumentType]
    for metric, bound in bounds.items():
        change = candidates.changes[layers, options, candidates.metrics.index(metric)]
        unit = np.abs(change).max() or 1.0
        constraints.append(LinearConstraint(change[None] / unit, -np.inf, (bound - candidates.start[metric]) / unit))
    for _ in range(ATTEMPTS):
        found = milp(
            objective[layers, options],
            integrality=np.ones(len(layers)),
            bounds=Bounds(0, 1),
            constraints=constraints,
            options={"mip_rel_gap": gap},
        )
        if found.x is None:
            return None
        taken = found.x > 0.5
        choices = options[taken]  # in the order of the layers
        if candidates.fits(choices, limits)[0]:
            return choices
        constraints.append(LinearConstraint(taken[None].astype(float), -np.inf, len(objective) - 1))
    return None
