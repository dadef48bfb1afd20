"""The knapsack against brute force over every plan of a small network."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from rankfront.search.allocation.knapsack import knapsack
from rankfront.search.space.candidates import Candidates
from tests.search.toys import Choices, all_choices, error_of, toy_candidates


@cache
def candidates() -> Candidates:
    """Two hidden layers in front of a perceptron; only every other rank, so that all plans can be tried."""
    whole = toy_candidates(depth=1, width=8)
    return whole


@cache
def table() -> list[tuple[Choices, dict[str, float], float]]:
    known = candidates()
    return [(c, dict(known.costs.of(known.plan(c))), error_of(known, c)) for c in all_choices(known)]


LIMITS = [
    {"params": 0.5},
    {"params": 0.8},
    {"flops": 0.4},
    {"flops": 0.7},
    {"bytes": 0.8},
    {"params": 0.6, "flops": 0.5},
    {"params": 0.7, "flops": 0.65, "bytes": 0.85},
]


@pytest.mark.parametrize("shares", LIMITS, ids=str)
def test_keeps_the_limits_and_is_close_to_the_best_of_all_plans(shares: dict[str, float]) -> None:
    known = candidates()
    limits = {metric: share * known.dense[metric] for metric, share in shares.items()}
    choices = knapsack(known, limits)
    assert choices is not None
    cost = known.costs.of(known.plan(choices))
    assert all(getattr(cost, metric) <= limit for metric, limit in limits.items())
    best = min(error for _, cost, error in table() if all(cost[m] <= limit for m, limit in limits.items()))
    assert error_of(known, choices) <= 1.15 * best + 0.01


def test_none_where_nothing_fits() -> None:
    known = candidates()
    assert knapsack(known, {"params": 0.9 * known.smallest["params"]}) is None


def test_exactly_the_smallest_fits() -> None:
    known = candidates()
    choices = knapsack(known, {"params": known.smallest["params"]})
    assert choices is not None and known.costs.of(known.plan(choices)).params == known.smallest["params"]


def test_no_limit_leaves_all_dense() -> None:
    known = candidates()
    for limits in ({}, {"params": known.dense["params"]}):
        assert np.array_equal(knapsack(known, limits), known.dense_choices)


def test_a_weightier_layer_gets_at_least_the_rank_it_had() -> None:
    known = candidates()
    limits = {"params": 0.6 * known.dense["params"]}
    plain = knapsack(known, limits)
    assert plain is not None
    for layer in range(len(known.names)):
        weights = np.ones(len(known.names))
        weights[layer] = 1e4
        choices = knapsack(known, limits, known.errors * weights[:, None])
        assert choices is not None and choices[layer] >= plain[layer]


def test_choices_and_plans_are_inverse() -> None:
    known = candidates()
    for choices, _, _ in table()[:: len(table()) // 50]:
        assert np.array_equal(known.choices(known.plan(choices)), choices)
    assert replace(known).plan(table()[0][0]) == known.plan(table()[0][0])


def test_exact_costs_are_those_of_the_plan() -> None:
    known = candidates()
    for choices, cost, _ in table()[:: len(table()) // 50]:
        assert known.exact_costs(choices, known.metrics) == cost


def test_only_dense_is_without_error() -> None:
    """So that no tie of a full rank with dense hangs on the last bits of a decomposition."""
    known = candidates()
    for errors, size in zip(known.errors, known.sizes, strict=True):
        assert errors[size - 1] == 0 and (errors[: size - 1] > 0).all()
