import itertools
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankfront import Metrics, Plan, RankfrontError
from rankfront.search.results.front import area, best_within, front_of, hypervolume_history
from rankfront.search.space.budget import Budget
from rankfront.search.storage.trials import Scored

DENSE = Metrics(params=100, flops=1000, bytes=400)
points = st.lists(st.tuples(*[st.integers(0, 5)] * 3), max_size=12)


def trials_of(rows: list[tuple[int, int, int]]) -> list[Scored]:
    return [
        Scored(n, s / 10, -s / 10, Metrics(params=p, flops=f, bytes=4 * p), Plan({}))
        for n, (s, p, f) in enumerate(rows)
    ]


def test_front_is_optunas_best_trials() -> None:
    study = optuna.create_study(directions=["maximize", "minimize", "minimize"])
    rng = np.random.default_rng(0)
    rows: list[Any] = [tuple(map(int, rng.integers(1, 30, 3))) for _ in range(40)]
    for s, p, f in rows:
        study.add_trial(optuna.create_trial(values=[s / 10, p, f]))
    ours = {rows[t.trial] for t in front_of(trials_of(rows), ["params", "flops"])}
    theirs = {(round(10 * (t.values or [0])[0]), *map(int, (t.values or [0])[1:])) for t in study.best_trials}
    assert ours == theirs


@given(points)
def test_hypervolume_never_falls(rows: list[tuple[int, int, int]]) -> None:
    history = hypervolume_history(trials_of(rows), "params", DENSE)
    assert len(history) == len(rows)
    assert all(0 <= a <= b + 1e-12 <= 1 + 1e-9 for a, b in itertools.pairwise(history))


def test_hypervolume_is_the_area_counted_by_hand() -> None:
    # Scores 0, 0.5, 1 of the span at costs 10 %, 20 %, 60 %: 0.4 wide and ½ high, then 0.4 wide and 1 high.
    trials = trials_of([(2, 10, 1), (4, 20, 1), (6, 60, 1)])
    assert hypervolume_history(trials, "params", DENSE) == pytest.approx([0.0, 0.4, 0.6])


def test_best_within_any_budget() -> None:
    front = trials_of([(9, 50, 500), (7, 20, 300), (7, 30, 200), (3, 5, 50)])
    assert best_within(front, Budget(), DENSE).trial == 0
    assert best_within(front, Budget.of("params=40%"), DENSE).trial == 1  # equal scores: the smaller
    assert best_within(front, Budget.of("flops=25%"), DENSE).trial == 2
    assert best_within(front, Budget.of("params=20%,flops=10%"), DENSE).trial == 3
    with pytest.raises(RankfrontError, match=r"smallest there has params 5 \(5 %\)"):
        best_within(front, Budget.of("params=4%"), DENSE)
    with pytest.raises(RankfrontError, match="none is complete"):
        best_within([], Budget(), DENSE)


@pytest.mark.parametrize(
    ("costs", "gains", "dominated"),
    [
        ([0.5, 1.2], [1, 1], 0.5),
        ([0.5, 3.0], [0.5, 1], 0.25),
        ([1.0], [1], 0.0),
        ([2.0, 1.5], [1, 1], 0.0),
        ([0.25, 0.5], [1, 0.5], 0.75),
        ([], [], 0.0),
    ],
)
def test_area_counts_nothing_beyond_cost_1(costs: list[float], gains: list[float], dominated: float) -> None:
    assert area(np.array(costs, float), np.array(gains, float)) == pytest.approx(dominated, abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10)), max_size=8))
def test_area_is_what_a_grid_counts(rows: list[tuple[int, int]]) -> None:
    costs, gains = np.array(rows, float).reshape(-1, 2).T
    cells = [(c, g) for c in range(20) for g in range(10) if any(x <= c and y > g for x, y in rows)]
    assert area(costs / 20, gains / 10) == pytest.approx(len(cells) / 200, abs=1e-12)
