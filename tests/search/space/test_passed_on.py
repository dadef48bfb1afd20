"""What errors count as further on."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rankfront.search.space.candidates import LARGEST_ERROR
from rankfront.search.space.passed_on import passed_on


@given(st.lists(st.floats(0, LARGEST_ERROR), min_size=2, max_size=20).map(sorted))
def test_keeps_the_order_and_is_finite(errors: list[float]) -> None:
    found = passed_on(np.array(errors))
    assert np.isfinite(found).all()
    assert (np.diff(found) >= 0).all()
    assert (found >= errors).all()


@given(st.floats(0, 1e-4))
def test_small_errors_count_as_they_are(error: float) -> None:
    assert passed_on(np.array(error)) <= error * (1 + 1e-3) + 1e-300


def test_two_layers_that_halve_the_signal_are_better_than_one_that_leaves_little() -> None:
    """Of the same sum."""
    assert passed_on(np.array([0.45, 0.45])).sum() < passed_on(np.array([0.05, 0.85])).sum()
