"""The way between Optuna's parameters, choices and plans; limits and budget fractions."""

import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankfront import DENSE
from rankfront.search.samplers.untried import untried
from rankfront.search.space.limits import budget_fractions, limits_at, van_der_corput
from rankfront.search.space.space import Space
from tests.search.toys import toy_candidates, toy_space

SPACE = toy_space(0.5)
SIZES = SPACE.candidates.sizes.tolist()
some_choices = st.tuples(*(st.integers(0, size - 1) for size in SIZES)).map(np.array)


@given(some_choices)
def test_params_choices_and_plans_are_inverse(choices: np.ndarray) -> None:
    assert np.array_equal(SPACE.choices(SPACE.params(choices)), choices)
    assert np.array_equal(SPACE.candidates.choices(SPACE.plan(choices)), choices)


def test_the_largest_value_is_dense_and_the_others_are_ranks() -> None:
    assert SPACE.params(SPACE.candidates.dense_choices) == dict(zip(SPACE.distributions, SIZES, strict=True))
    assert set(SPACE.plan(SPACE.candidates.dense_choices).values()) == {DENSE}
    assert {choice.rank for choice in SPACE.plan(np.zeros(len(SIZES), np.int64)).values()} == {1}
    assert all(name.endswith(".choice") for name in SPACE.distributions)


@given(some_choices, st.integers(0, 100))
def test_untried_finds_new_choices_that_fit(choices: np.ndarray, seed: int) -> None:
    other = untried(SPACE, choices, choices[None], np.random.default_rng(seed))
    assert not np.array_equal(other, choices) and SPACE.fits(other)[0]


def test_violations_are_shares_of_the_limit() -> None:
    assert SPACE.violations(SPACE.candidates.dense_choices) == pytest.approx({"params": 1.0})


def test_limits_on_what_is_not_known_before_building_are_left_out() -> None:
    assert Space(toy_candidates(), {"params": 10.0, "latency": 1.0}).limits == {"params": 10.0}


def test_limits_go_from_the_least_to_the_budget() -> None:
    candidates = SPACE.candidates
    for space in (SPACE, Space(candidates, {"flops": 0.4 * candidates.dense["flops"]}), Space(candidates, {})):
        ways = [limits_at(space, position) for position in (0.0, 0.5, 1.0)]
        for metric, end in ways[2].items():
            assert candidates.smallest[metric] <= ways[0][metric] <= ways[1][metric] <= end
        assert ways[2] == dict(space.limits) or not space.limits


@given(some_choices)
def test_the_budget_fraction_is_one_at_most_where_choices_fit(choices: np.ndarray) -> None:
    assert (budget_fractions(SPACE, choices[None])[0] <= 1) == SPACE.fits(choices)[0]


def test_the_points_of_van_der_corput_fill_the_way_evenly() -> None:
    points = [van_der_corput(n) for n in range(64)]
    assert points[:5] == [1.0, 0.5, 0.25, 0.75, 0.125]
    assert np.diff(sorted([0.0, *points])) == pytest.approx(np.full(64, 1 / 64))


def test_nothing_but_the_space_makes_plans_of_choices() -> None:
    """`Space` alone converts, so that a change of its forms is made in one place."""
    root = Path(__file__).resolve().parents[3] / "search"
    files = [path for path in root.rglob("*.py") if path.parent.name != "space"]
    calls = [
        f"{path.name}:{node.lineno}"
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and (
            ast.unparse(node.func) == "Plan"
            or ast.unparse(node.func).endswith(("candidates.plan", "candidates.choices"))
        )
    ]
    assert len(files) > 50 and not calls


@given(some_choices, st.floats(0.3, 1.0))
def test_a_plan_fits_or_it_is_said_which_limits_it_exceeds(choices: np.ndarray, share: float) -> None:
    known = SPACE.candidates
    limits = {metric: share * known.dense[metric] for metric in known.metrics}
    fits, reason = Space(known, limits).fits(choices)
    over = {metric for metric, cost in known.exact_costs(choices, known.metrics).items() if cost > limits[metric]}
    assert fits is (not over) and {part.split()[0] for part in reason.split(", ") if part} == over
