import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankfront import DENSE
from tests.search.toys import toy_space

SPACE = toy_space(0.5)
SIZES = {name: d.high for name, d in SPACE.distributions.items()}  # pyright: ignore[reportAttributeAccessIssue]
params = st.fixed_dictionaries({name: st.integers(1, size) for name, size in SIZES.items()})


@given(params)
def test_params_and_plans_are_inverse(some: dict[str, int]) -> None:
    assert SPACE.params(SPACE.plan(some)) == some


def test_the_largest_value_is_dense_and_the_others_are_ranks() -> None:
    assert set(SPACE.plan(SIZES).values()) == {DENSE}
    assert {choice.rank for choice in SPACE.plan(dict.fromkeys(SIZES, 1)).values()} == {1}
    assert all(name.endswith(".choice") for name in SIZES)


@settings(deadline=None)
@given(params)
def test_fitted_keeps_what_fits_and_shrinks_what_does_not(some: dict[str, int]) -> None:
    fitted = SPACE.fitted(some)
    assert SPACE.fits(SPACE.plan(fitted))
    assert all(fitted[name] <= value for name, value in some.items())
    if SPACE.fits(SPACE.plan(some)):
        assert fitted == some


@settings(deadline=None)
@given(params, st.integers(0, 100))
def test_unlike_finds_a_new_plan_nearby(some: dict[str, int], seed: int) -> None:
    plan = SPACE.plan(SPACE.fitted(some))
    tried = {tuple(SPACE.params(plan).values())}
    other = SPACE.unlike(plan, tried, np.random.default_rng(seed))
    assert tuple(SPACE.params(other).values()) not in tried
    assert SPACE.fits(other)


def test_violations_are_shares_of_the_limit() -> None:
    dense = SPACE.plan(SIZES)
    assert SPACE.violations(dense) == pytest.approx({"params": 1.0})
