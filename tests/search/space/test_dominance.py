"""Pareto dominance against its definition."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rankfront.search.space.dominance import non_dominated


@given(st.lists(st.tuples(*[st.integers(0, 5)] * 3), max_size=12))
def test_non_dominated_by_its_definition(rows: list[tuple[int, int, int]]) -> None:
    keep = non_dominated(np.array(rows, float).reshape(-1, 3))
    for i, row in enumerate(rows):
        dominated = any(all(a <= b for a, b in zip(other, row, strict=True)) and other != row for other in rows)
        assert keep[i] == (not dominated and row not in rows[:i])
