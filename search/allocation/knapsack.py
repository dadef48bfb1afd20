"""The knapsack: which choice for every layer gives the least summed error within limits on cost.

    minimise   Σ_l  e_l(c_l)      subject to   Σ_l cost_l(c_l) ≤ limit

by bisection on the multiplier of the Lagrangian, then by spending what is left. A search reshapes it by errors
that count otherwise. Milliseconds for 60 layers.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ...objectives.plan import Plan
from ..space.candidates import Candidates

Array = NDArray[np.float64]

MIXTURES = 9
"""How finely the multipliers of two or three limits are mixed."""


def knapsack(candidates: Candidates, limits: Mapping[str, float], worth: Array | None = None) -> Plan | None:
    """Return the plan of (nearly) least summed error within ``limits``, or None where no plan fits.

    Args:
        candidates: every layer's choices.
        limits: metric → upper bound on the whole compressed model, absolute.
        worth: (L, K) what every choice's error counts; the error itself if not given.
    """
    errors = candidates.errors if worth is None else worth
    tightened = dict(limits)
    for _ in range(4):
        picks = _solve(errors, *_normalised(candidates, tightened))
        if picks is None:
            break
        plan = candidates.plan(picks)
        cost = dict(candidates.costs.of(plan))
        over = {name: cost[name] - bound for name, bound in limits.items() if cost[name] > bound}
        if not over:
            return plan
        # Only bytes can be: a file's header is not quite the sum of its entries.
        tightened |= {name: tightened[name] - excess - 1 for name, excess in over.items()}
    return _cheapest(candidates, limits)


def _cheapest(candidates: Candidates, limits: Mapping[str, float]) -> Plan | None:
    """Return the plan of least cost, if it fits."""
    costs, _ = _normalised(candidates, limits)
    plan = candidates.plan(np.where(np.isfinite(candidates.errors), costs.sum(2), np.inf).argmin(1))
    cost = dict(candidates.costs.of(plan))
    return plan if all(cost[name] <= bound for name, bound in limits.items()) else None


def _normalised(candidates: Candidates, limits: Mapping[str, float]) -> tuple[Array, Array]:
    """Return what choices save (L, K, M) and must save (M,), in units of the dense model's metrics.

    Costs count from the plan that leaves all dense, so "at most the limit" reads ``Σ cost ≤ limit - start``.
    """
    columns = [candidates.metrics.index(name) for name in limits]
    dense = np.array([candidates.costs.dense[name] for name in limits], float)
    start = np.array([candidates.costs.start[name] for name in limits], float)
    return candidates.changes[:, :, columns] / dense, (np.array(list(limits.values())) - start) / dense


def _solve(errors: Array, costs: Array, bounds: Array) -> NDArray[np.int64] | None:
    """Return the picks (L,) of least error with ``Σ costs ≤ bounds`` for every metric, None if none fits."""
    rows = np.arange(len(errors))
    best: tuple[float, NDArray[np.int64]] | None = None
    for mixture in _mixtures(len(bounds)):
        picks = _bisect(errors, costs, bounds, mixture)
        if picks is None:
            continue
        picks = _spend(errors, costs, bounds, picks)
        total = float(errors[rows, picks].sum())
        if best is None or total < best[0]:
            best = total, picks
    return None if best is None else best[1]


def _mixtures(metrics: int) -> list[Array]:
    """Return multipliers that sum to one, spread over the simplex of so many metrics."""
    if metrics == 0:
        return [np.zeros(0)]
    steps = itertools.product(range(MIXTURES), repeat=metrics)
    return [np.array(s) / (MIXTURES - 1) for s in steps if sum(s) == MIXTURES - 1]


def _bisect(errors: Array, costs: Array, bounds: Array, mixture: Array) -> NDArray[np.int64] | None:
    """Find the least multiplier whose minimiser of ``error + multiplier · mixture · cost`` fits."""
    rows = np.arange(len(errors))
    cost = costs @ mixture

    def minimiser(multiplier: float) -> NDArray[np.int64]:
        return (errors + multiplier * cost).argmin(1)

    def fits(picks: NDArray[np.int64]) -> bool:
        return bool((costs[rows, picks].sum(0) <= bounds + 1e-12).all())

    picks = minimiser(0.0)
    if fits(picks):
        return picks
    low, high = -14.0, 14.0  # decimal exponents
    picks = minimiser(10.0**high)
    if not fits(picks):
        return None
    for _ in range(48):
        middle = (low + high) / 2
        here = minimiser(10.0**middle)
        if fits(here):
            high, picks = middle, here
        else:
            low = middle
    return picks


def _spend(errors: Array, costs: Array, bounds: Array, picks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Use what the bisection left: take the exchange that lowers the error most per cost, while one fits."""
    rows = np.arange(len(errors))
    picks = picks.copy()
    while True:
        left = bounds - costs[rows, picks].sum(0)
        gain = errors[rows, picks][:, None] - errors
        extra = costs - costs[rows, picks][:, None]
        fits = (extra <= left + 1e-12).all(2) & (gain > 1e-12)
        if not fits.any():
            return picks
        price = np.maximum(extra.max(2), 1e-12) if costs.shape[2] else np.ones_like(gain)
        row, column = divmod(int(np.where(fits, gain / price, -np.inf).argmax()), errors.shape[1])
        picks[row] = column
