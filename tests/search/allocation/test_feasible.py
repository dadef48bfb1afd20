"""Whenever a plan fits, one is found: against brute force over every plan, under one to three limits."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rankfront.search.allocation.feasible import feasible
from rankfront.search.allocation.knapsack import knapsack
from rankfront.search.allocation.registry import RULES, rule_named
from rankfront.search.allocation.repair import repaired
from rankfront.search.space.candidates import Candidates
from rankfront.search.space.limits import limits_at
from rankfront.search.space.space import Space
from tests.search.toys import Choices, all_choices, error_of, made_up_candidates

LAYERS, OPTIONS = 4, 5

OF_LAYERS = ("uniform", "interpolated", "evbmf")
"""Rules that look at the layers themselves, which made-up candidates lack."""


def every_plan(known: Candidates) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """All plans (N, L), and what they cost (N, M)."""
    plans = np.array(list(all_choices(known)))
    exact = [known.exact_costs(plan, known.metrics) for plan in plans]
    return plans, np.array([[cost[metric] for metric in known.metrics] for cost in exact])


def tight(known: Candidates, costs: NDArray[np.float64], rng: np.random.Generator) -> dict[str, float]:
    """Limits that few plans keep, or none: those of one plan that no other dominates, some a little lower."""
    weights = rng.dirichlet(np.ones(costs.shape[1]))
    near = np.argsort(costs @ weights)[: 1 + rng.integers(8)]
    limit = costs[rng.choice(near)] - (rng.random(costs.shape[1]) < 0.15) * rng.integers(1, 10)
    return dict(zip(known.metrics, limit.tolist(), strict=True))


def instances(metrics: int, count: int, header: int = 0) -> list[tuple[Candidates, dict[str, float], bool]]:
    """Candidates, limits, and whether any plan keeps these."""
    rng = np.random.default_rng(metrics)
    found = []
    for _ in range(count):
        known = made_up_candidates(rng, LAYERS, OPTIONS, metrics, header)
        _, costs = every_plan(known)
        limits = tight(known, costs, rng)
        found.append((known, limits, bool((costs <= list(limits.values())).all(1).any())))
    return found


@pytest.mark.parametrize("header", [0, 2], ids=["sums are exact", "the last metric is not quite a sum"])
@pytest.mark.parametrize("metrics", [1, 2, 3])
def test_a_plan_is_found_whenever_one_fits(metrics: int, header: int) -> None:
    missed, none = 0, 0
    for known, limits, fits in instances(metrics, 60, header):
        choices = knapsack(known, limits)
        missed += (choices is not None) is not fits
        none += not fits
        assert choices is None or known.fits(choices, limits)[0]
    assert missed == 0 and none > 0


@pytest.mark.parametrize("metrics", [2, 3])
def test_its_error_is_near_the_least(metrics: int) -> None:
    for known, limits, fits in instances(metrics, 40):
        choices = feasible(known, limits, known.errors)
        assert (choices is not None) is fits
        if choices is not None:
            plans, costs = every_plan(known)
            inside = plans[(costs <= list(limits.values())).all(1)]
            assert error_of(known, choices) <= 1.06 * min(error_of(known, plan) for plan in inside) + 1e-9


@pytest.mark.parametrize("metrics", [2, 3])
def test_so_do_the_rules_the_repair_and_the_way_to_the_budget(metrics: int) -> None:
    for known, limits, fits in instances(metrics, 25):
        space = Space(known, limits)
        assert not fits or limits_at(space, 1.0) == limits
        proposals: list[Choices | None] = [repaired(space, known.dense_choices)]
        proposals += [rule_named(rule)(known, limits) for rule in RULES if rule not in OF_LAYERS]
        assert all((choices is not None and space.fits(choices)[0]) is fits for choices in proposals)
