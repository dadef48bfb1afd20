"""What a trial changed, and the best so far, against what the front is before and after it."""

from __future__ import annotations

import pytest

from rankfront import Metrics, Plan
from rankfront.objectives.metrics.scale import Scale
from rankfront.objectives.plan import Choice
from rankfront.search.results.so_far import best_so_far, changed_by
from rankfront.search.space.budget import Budget
from rankfront.search.storage.dense import DenseModel
from rankfront.search.storage.trials import Scored

DENSE = DenseModel(0.9, Metrics(params=100, flops=100), {"validation": 100}, Scale("accuracy", proportion=True))


def trials(*points: tuple[float, float]) -> list[Scored]:
    """Trials of these scores and params, numbered from 0."""
    return [
        Scored(number, score, -score, Metrics(params=params, flops=params), Plan({"a": Choice("svd", number + 1)}))
        for number, (score, params) in enumerate(points)
    ]


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([(0.8, 50)], ""),  # the first
        ([(0.8, 50), (0.85, 60)], "best so far"),
        ([(0.8, 50), (0.7, 40)], ""),  # on the front, as most are
        ([(0.8, 50), (0.7, 40), (0.75, 40)], "replaces trial 1 on the front"),
        ([(0.8, 50), (0.7, 40), (0.6, 35), (0.75, 35)], "replaces trials 1, 2 on the front"),
        ([(0.8, 50), (0.7, 60)], ""),  # dominated
        ([(0.8, 50), (0.9, 95)], ""),  # over the budget that is asked for
    ],
)
def test_what_a_trial_changed(points: list[tuple[float, float]], said: str) -> None:
    assert changed_by(len(points) - 1, trials(*points), Budget.of("params=90%"), DENSE) == said


def test_the_best_so_far() -> None:
    budget = Budget.of(["params=55%", "flops=90%"])
    assert best_so_far(trials((0.8, 50), (0.85, 60)), budget, DENSE) == (
        "trial 0 with accuracy 80.00 %, params 50 %, flops 50 %"
    )
    assert best_so_far(trials((0.85, 60)), budget, DENSE) == ""
    assert best_so_far(trials((0.85, 60), (0.7, 30)), Budget.of("accuracy=0.8"), DENSE).startswith("trial 0 with")
    assert best_so_far(trials((0.7, 30)), Budget.of("accuracy=0.8"), DENSE) == ""
