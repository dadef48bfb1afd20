"""The repair of proposals: over every limit and kind, the nearest plan that keeps the limits."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankfront.search.allocation.knapsack import knapsack
from rankfront.search.allocation.repair import repaired
from rankfront.search.space.candidates import Candidates
from rankfront.search.space.space import Space
from tests.search.toys import Choices, all_choices, toy_candidates

KINDS = {"all kinds": (), "svd": ("svd",), "svd and tt": ("svd", "tt"), "tt": ("tt",)}
METRICS = {
    "params": ("params",),
    "flops": ("flops",),
    "bytes": ("bytes",),
    "params and flops": ("params", "flops"),
    "flops and bytes": ("flops", "bytes"),
    "params, flops and bytes": ("params", "flops", "bytes"),
}


@cache
def candidates(kinds: str) -> Candidates:
    return toy_candidates(width=32, kinds=KINDS[kinds])


def space_of(kinds: str, metrics: str, way: float) -> Space:
    """Limits so far on the way from the least of each metric to the dense model's."""
    known = candidates(kinds)
    least, dense = known.smallest, known.dense
    return Space(known, {m: least[m] + way * (dense[m] - least[m]) for m in METRICS[metrics]})


def drawn(space: Space, seed: int) -> Choices:
    return np.random.default_rng(seed).integers(0, space.candidates.sizes)


def distance(one: Choices, other: Choices) -> float:
    return float(((np.log(one + 1) - np.log(other + 1)) ** 2).sum())


@settings(max_examples=150)
@given(st.sampled_from(list(KINDS)), st.sampled_from(list(METRICS)), st.floats(0.0, 1.0), st.integers(0, 2**32 - 1))
def test_never_over_budget_where_a_plan_keeps_it_and_what_fits_is_left(
    kinds: str, metrics: str, way: float, seed: int
) -> None:
    space = space_of(kinds, metrics, way)
    proposal = drawn(space, seed)
    choices = repaired(space, proposal)
    if space.fits(proposal)[0]:
        assert np.array_equal(choices, proposal)
    assert space.fits(choices)[0] or knapsack(space.candidates, space.limits) is None
    assert ((choices >= 0) & (choices < space.candidates.sizes)).all()


@pytest.mark.parametrize("kinds", KINDS)
@pytest.mark.parametrize("metrics", METRICS)
def test_different_proposals_mostly_stay_different(kinds: str, metrics: str) -> None:
    space = space_of(kinds, metrics, 0.3)
    proposals = {tuple(drawn(space, seed).tolist()) for seed in range(40)}
    found = {tuple(repaired(space, np.array(one)).tolist()) for one in proposals}
    few = kinds == "tt" and "flops" in METRICS[metrics]  # a layer has two options that save flops
    assert len(found) > (0.5 if few else 0.8) * len(proposals)


@pytest.mark.parametrize("limits", [{"params": 0.5}, {"flops": 0.5}, {"bytes": 0.85}, {"params": 0.6, "flops": 0.5}])
def test_it_is_close_to_the_nearest_of_all_plans(limits: dict[str, float]) -> None:
    known = toy_candidates(depth=1, width=8, kinds=("svd",))
    space = Space(known, {metric: share * known.dense[metric] for metric, share in limits.items()})
    fitting = [choices for choices in all_choices(known) if space.fits(choices)[0]]
    for seed in range(20):
        proposal = drawn(space, seed)
        nearest = min(distance(proposal, choices) for choices in fitting)
        assert distance(proposal, repaired(space, proposal)) <= 1.5 * nearest + 0.2


def test_a_proposal_is_left_where_no_plan_keeps_the_limits() -> None:
    known = candidates("svd")
    space = Space(known, {"params": 0.5 * known.smallest["params"]})
    assert np.array_equal(repaired(space, known.dense_choices), known.dense_choices)
