"""The knapsack against brute force over every plan of a small network."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from rankfront import DENSE, Plan
from rankfront.search.allocation.knapsack import knapsack
from rankfront.search.space.candidates import Candidates
from tests.search.toys import all_plans, error_of, toy_candidates


@cache
def candidates() -> Candidates:
    """Two hidden layers in front of a perceptron; only every other rank, so that all plans can be tried."""
    whole = toy_candidates(depth=1, width=8)
    return whole


@cache
def table() -> list[tuple[Plan, tuple[float, ...], float]]:
    known = candidates()
    return [(plan, tuple(known.costs.of(plan).values()), error_of(known, plan)) for plan in all_plans(known)]


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
    limits = {metric: share * getattr(known.costs.dense, metric) for metric, share in shares.items()}
    plan = knapsack(known, limits)
    assert plan is not None
    cost = dict(known.costs.of(plan))
    assert all(cost[metric] <= limit for metric, limit in limits.items())
    columns = [("params", "flops", "bytes").index(metric) for metric in limits]
    best = min(
        e for _, c, e in table() if all(c[k] <= limit for k, limit in zip(columns, limits.values(), strict=True))
    )
    assert error_of(known, plan) <= 1.15 * best + 0.01


def test_none_where_nothing_fits() -> None:
    known = candidates()
    assert knapsack(known, {"params": 0.9 * known.smallest.params}) is None


def test_exactly_the_smallest_fits() -> None:
    known = candidates()
    plan = knapsack(known, {"params": known.smallest.params})
    assert plan is not None and known.costs.of(plan).params == known.smallest.params


def test_no_limit_leaves_all_dense() -> None:
    known = candidates()
    for limits in ({}, {"params": known.costs.dense.params}):
        assert knapsack(known, limits) == Plan(dict.fromkeys(known.names, DENSE))


def test_a_weightier_layer_gets_at_least_the_rank_it_had() -> None:
    known = candidates()
    limits = {"params": 0.6 * known.costs.dense.params}
    plain = known.picks(knapsack(known, limits) or Plan({}))
    for layer in range(len(known.names)):
        weights = np.ones(len(known.names))
        weights[layer] = 1e4
        assert known.picks(knapsack(known, limits, known.errors * weights[:, None]) or Plan({}))[layer] >= plain[layer]


def test_picks_and_plans_are_inverse() -> None:
    known = candidates()
    for plan, _, _ in table()[:: len(table()) // 50]:
        assert known.plan(known.picks(plan)) == plan
    assert replace(known).plan(known.picks(table()[0][0])) == table()[0][0]
