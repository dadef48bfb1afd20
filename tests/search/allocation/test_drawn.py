"""Plans drawn at random around the knapsack's."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rankfront.search.allocation.drawn import drawn
from rankfront.search.space.limits import budget_fractions
from tests.search.toys import toy_space


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), share=st.floats(0.35, 0.9))
def test_all_keep_the_budget_at_costs_on_the_way_to_it_most_of_them_near_it(seed: int, share: float) -> None:
    space = toy_space(share)
    choices = drawn(space, 40, np.random.default_rng(seed))
    fractions = budget_fractions(space, choices)
    assert len(choices) == 40 and (fractions <= 1).all()
    assert np.corrcoef(np.log(fractions), np.arange(40))[0, 1] > 0.7
    assert np.median(fractions) > 0.5
    assert len(np.unique(choices, axis=0)) > 10
