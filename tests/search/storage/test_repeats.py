"""Selection bias: what leaders lose when run again, who is best, and whose weights are kept."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankfront import Choice, Metrics, Plan
from rankfront.objectives.metrics.scale import ACCURACY
from rankfront.search.results.front import best_within, front_of, retained_of
from rankfront.search.space.budget import Budget
from rankfront.search.storage.repeats import LEADERS
from rankfront.search.storage.trials import Record, Scored, scored

COSTS = ("params", "flops", "bytes")
DENSE = Metrics(params=100, flops=1000, bytes=400)


def records(rows: list[tuple[int, int, float]]) -> list[Record]:
    """Rows are (rank that stands for the plan, params, score)."""
    return [
        Record(
            n,
            "complete",
            True,
            score,
            Metrics(params=p, flops=10 * p, bytes=4 * p),
            Plan({"a": Choice("svd", rank)}),
            1.0,
            "",
            {},
        )
        for n, (rank, p, score) in enumerate(rows)
    ]


def of_rows(rows: list[tuple[int, int, float]]) -> list[Scored]:
    return scored(records(rows), ACCURACY)


def test_the_luckiest_is_not_the_best() -> None:
    lucky, steady = (1, 50, 0.99), (2, 50, 0.97)
    trials = of_rows([lucky, steady, (1, 50, 0.93), (2, 50, 0.97)])
    assert [t.runs for t in trials] == [2, 2, 2, 2]
    assert -trials[0].corrected == pytest.approx(0.96) == -trials[2].corrected
    assert best_within(front_of(trials, COSTS), Budget(), DENSE).trial in (1, 3)


def test_what_ran_once_is_judged_by_what_leaders_lost() -> None:
    trials = of_rows([(1, 50, 0.99), (2, 50, 0.985), (1, 50, 0.97)])
    assert -trials[1].corrected == pytest.approx(0.985 - 0.02)
    assert best_within(front_of(trials, COSTS), Budget(), DENSE).trial == 0  # whose mean is 0.98


def test_without_second_runs_nothing_is_taken_off() -> None:
    assert all(t.selection_bias == 0 for t in of_rows([(1, 50, 0.9), (2, 40, 0.8)]))


def test_leaders_that_gain_take_nothing_off() -> None:
    assert of_rows([(1, 50, 0.9), (2, 50, 0.91), (1, 50, 0.95)])[1].selection_bias == 0


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(0, 20)), max_size=40))
def test_what_is_not_kept_is_never_wanted_again(rows: list[tuple[int, int, int]]) -> None:
    """Weights are dropped trial by trial; what is kept in the end is what all trials together would keep."""
    trials = of_rows([(rank, params, score / 20) for rank, params, score in rows])
    retained: list[Scored] = []
    for trial in trials:
        retained = retained_of([*retained, trial], COSTS)
    assert {t.trial for t in retained} == {t.trial for t in retained_of(trials, COSTS)}
    assert len(retained) >= min(LEADERS, len(trials))
    bare = np.array([t.score for t in trials])
    assert not len(bare) or max(t.score for t in retained) == bare.max()
