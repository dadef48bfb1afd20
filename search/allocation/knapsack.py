"""The knapsack: the option for every layer that gives the least summed error within limits on cost.

    minimise   Σ_l  e_l(c_l)      subject to   Σ_l cost_l(c_l) ≤ limit

It is solved by bisection on the multiplier of the Lagrangian (Shoham & Gersho, IEEE Trans. ASSP 1988, for bits); what
is left of the limits is then spent greedily. Where it finds no plan within several limits, `feasible` searches exactly.
Samplers pass errors of their own. Milliseconds for 60 layers.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..space.arrays import Array, Choices
from ..space.candidates import Candidates
from .feasible import feasible

MIXTURES = 9
"""How many steps the multipliers of two or three limits are mixed in."""

TIGHTENINGS = 4
"""How often limits on bytes are tightened, because a file's header is not quite the sum of its entries."""

TIE = 1e-12
"""Errors that differ by less are equal: then the cheaper option is taken."""

ROUNDING = 1e-12
"""Sums of costs, as shares of the dense model's, may be off by this; `Candidates.fits` checks whole plans without."""

EXPONENTS = (-14.0, 14.0)
"""Decimal exponents between which the multiplier lies: errors and normalised costs differ by no more than that."""

HALVINGS = 48
"""How often the interval of exponents is halved: to 28 / 2⁴⁸, the exactness of a double."""


def knapsack(candidates: Candidates, limits: Mapping[str, float], errors: Array | None = None) -> Choices | None:
    """Return the choices ``(L,)`` of (nearly) least summed error within ``limits``, or None where no plan fits.

    Args:
        candidates: every layer's options.
        limits: metric → upper bound on the whole compressed model, absolute.
        errors: ``(L, K)`` the error of every option; `Candidates.errors` if not given.
    """
    errors = candidates.errors if errors is None else errors
    tightened = dict(limits)
    for _ in range(TIGHTENINGS):
        choices = _solve(errors, *_normalised(candidates, tightened))
        if choices is None:
            break
        if candidates.fits(choices, limits)[0]:
            return choices
        costs = candidates.exact_costs(choices, limits)
        over = {name: costs[name] - bound for name, bound in limits.items() if costs[name] > bound}
        tightened |= {name: tightened[name] - excess - 1 for name, excess in over.items()}
    choices = _cheapest(candidates, limits)
    return feasible(candidates, limits, errors) if choices is None else choices


def _cheapest(candidates: Candidates, limits: Mapping[str, float]) -> Choices | None:
    """Return the choices of least summed cost, if they fit."""
    costs, _ = _normalised(candidates, limits)
    choices = np.where(np.isfinite(candidates.errors), costs.sum(2), np.inf).argmin(1)
    return choices if candidates.fits(choices, limits)[0] else None


def _normalised(candidates: Candidates, limits: Mapping[str, float]) -> tuple[Array, Array]:
    """Return what options add (L, K, M) and may add at most (M,), in units of the dense model's metrics.

    Costs count from the plan that leaves all dense, so "at most the limit" reads ``Σ cost ≤ limit - start``.
    """
    dense = np.array([candidates.dense[name] for name in limits], float)
    start = np.array([candidates.start[name] for name in limits], float)
    return candidates.changes[:, :, candidates.columns(limits)] / dense, (
        np.array(list(limits.values())) - start
    ) / dense


def _solve(errors: Array, costs: Array, bounds: Array) -> Choices | None:
    """Return the choices (L,) of least error with ``Σ costs ≤ bounds`` for every metric, None if none fits."""
    rows = np.arange(len(errors))
    best: tuple[float, Choices] | None = None
    for mixture in _mixtures(len(bounds)):
        choices = _bisect(errors, costs, bounds, mixture)
        if choices is None:
            continue
        choices = _spend(errors, costs, bounds, choices)
        total = float(errors[rows, choices].sum())
        if best is None or total < best[0]:
            best = total, choices
    return None if best is None else best[1]


def _mixtures(metrics: int) -> list[Array]:
    """Return multipliers that sum to one, spread over the simplex of so many metrics."""
    if metrics == 0:
        return [np.zeros(0)]
    steps = itertools.product(range(MIXTURES), repeat=metrics)
    return [np.array(s) / (MIXTURES - 1) for s in steps if sum(s) == MIXTURES - 1]


def _bisect(errors: Array, costs: Array, bounds: Array, mixture: Array) -> Choices | None:
    """Find the least multiplier whose minimiser of ``error + multiplier · mixture · cost`` fits."""
    rows = np.arange(len(errors))
    cost = costs @ mixture

    def minimiser(multiplier: float) -> Choices:
        return (errors + multiplier * cost).argmin(1)

    def fits(choices: Choices) -> bool:
        return bool(_within(costs[rows, choices].sum(0), bounds).all())

    choices = minimiser(0.0)
    if fits(choices):
        return choices
    low, high = EXPONENTS
    choices = minimiser(10.0**high)
    if not fits(choices):
        return None
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        here = minimiser(10.0**middle)
        if fits(here):
            high, choices = middle, here
        else:
            low = middle
    return choices


def _within(costs: Array, bounds: Array) -> NDArray[np.bool_]:
    """Return, for each sum of normalised costs, whether it keeps its bound."""
    return costs <= bounds + ROUNDING


def _spend(errors: Array, costs: Array, bounds: Array, choices: Choices) -> Choices:
    """Use what the bisection left: take the exchange that lowers the error most per cost, while one fits."""
    rows = np.arange(len(errors))
    choices = choices.copy()
    while True:
        left = bounds - costs[rows, choices].sum(0)
        gain = errors[rows, choices][:, None] - errors
        extra = costs - costs[rows, choices][:, None]
        fits = _within(extra, left).all(2) & (gain > TIE)
        if not fits.any():
            return choices
        price = np.maximum(extra.max(2), ROUNDING) if costs.shape[2] else np.ones_like(gain)
        row, column = divmod(int(np.where(fits, gain / price, -np.inf).argmax()), errors.shape[1])
        choices[row] = column
