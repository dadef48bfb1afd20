"""Allocation rules: plans within limits, from errors and costs alone, in milliseconds.

Each takes the candidates and limits (metric → upper bound) and returns a plan, or None where none fits.

- ``uniform``: the same share of every layer's parameters and flops.
- ``energy``: the same relative error in every layer; what ALDS (Liebenwein et al., NeurIPS 2021) minimises,
  the largest error of any layer, and energy thresholds equalise.
- ``evbmf``: output errors in the proportion of the share of each layer's weights that EVBMF takes for noise (see
  `noise`): its judgement of the layers, scaled to the limits, where EVBMF alone has no budget.
- ``knapsack``: the least summed error (see `allocation`).
- ``bottleneck``: the least sum of errors and narrownesses (see `sensitivity`, where they come from).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from ...objectives.plan import Plan
from ..space.candidates import Candidates
from .knapsack import knapsack

Rule = Callable[[Candidates, Mapping[str, float]], Plan | None]

STEPS = 40
"""Halvings of a rule's one knob."""

NOISELESS = 1e-3
"""A layer's noise is taken for no less, so that none has to stay dense."""


def uniform(candidates: Candidates, limits: Mapping[str, float]) -> Plan | None:
    """Return the plan that keeps the same share of every layer, the largest share that fits."""
    layers = [candidates.costs.layers[name] for name in candidates.names]
    dense = np.array([[layer.params, layer.flops] for layer in layers], float)
    kept = (1 + candidates.changes[:, :, :2] / dense[:, None, :]).max(2)
    cheapest = np.where(np.isfinite(candidates.errors), kept, np.inf).argmin(1)

    def at(share: float) -> NDArray[np.int64]:
        allowed = np.where(kept <= share, candidates.errors, np.inf)
        return np.where(np.isfinite(allowed).any(1), allowed.argmin(1), cheapest)

    return largest(candidates, limits, at)


def energy(candidates: Candidates, limits: Mapping[str, float]) -> Plan | None:
    """Return the plan whose layers all err by the same, as little as fits."""
    return _level(candidates, limits, np.ones(len(candidates.names)))


def evbmf(candidates: Candidates, limits: Mapping[str, float]) -> Plan | None:
    """Return the plan whose layers err in the proportion of their noise, as little as fits."""
    return _level(candidates, limits, np.maximum(candidates.noise, NOISELESS))


def _level(candidates: Candidates, limits: Mapping[str, float], parts: NDArray[np.float64]) -> Plan | None:
    """Return the plan of errors in the proportion of ``parts`` (L,), as little as fits."""
    names = list(limits) or [candidates.metrics[0]]
    columns = [candidates.metrics.index(name) for name in names]
    dense = np.array([candidates.costs.dense[name] for name in names], float)
    cost = (candidates.changes[:, :, columns] / dense).sum(2)
    levels = candidates.errors / parts[:, None]
    known = levels[np.isfinite(levels)]
    low, high = np.log(known[known > 1e-12].min(initial=1.0)), np.log(max(1.0, known.max()))

    def at(knob: float) -> NDArray[np.int64]:
        level = np.exp(high + (low - high) * knob) if knob < 1 else 0.0  # from where anything goes down to 0
        return np.where(levels <= level, cost, np.inf).argmin(1)

    return largest(candidates, limits, at)


def bottleneck(candidates: Candidates, limits: Mapping[str, float]) -> Plan | None:
    """Return the plan of the least summed error, bottlenecks counted as errors that fine-tuning does not mend."""
    return knapsack(candidates, limits, candidates.harm)


def largest(
    candidates: Candidates, limits: Mapping[str, float], at: Callable[[float], NDArray[np.int64]]
) -> Plan | None:
    """Return the plan of the largest knob from 0 to 1 that fits, or None where not even 0 does."""

    def fits(picks: NDArray[np.int64]) -> bool:
        cost = candidates.costs_of(picks[None])
        if "bytes" in limits:  # to be counted: a file's header is not quite the sum of its entries
            cost["bytes"] = np.array([candidates.costs.of(candidates.plan(picks)).bytes])
        return all(cost[name][0] <= bound for name, bound in limits.items())

    if fits(picks := at(1.0)):
        return candidates.plan(picks)
    if not fits(best := at(0.0)):
        return knapsack(candidates, limits)  # the rule's own smallest plan is not the smallest there is
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        if fits(picks := at(middle)):
            low, best = middle, picks
        else:
            high = middle
    return candidates.plan(best)


RULES: dict[str, Rule] = {
    "uniform": uniform,
    "energy": energy,
    "evbmf": evbmf,
    "knapsack": knapsack,
    "bottleneck": bottleneck,
}
