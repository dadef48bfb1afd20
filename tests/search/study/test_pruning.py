"""Early stops: by Optuna's pruner under one objective, by bounds on the final score under several."""

import optuna
import pytest

from rankfront.objectives.metrics.scale import ACCURACY, Scale
from rankfront.objectives.metrics.values import Metrics
from rankfront.search.storage.trials import METRICS
from rankfront.search.study.pruning import CURVE, PRUNER, STARTUP, watcher

CHEAP = Metrics(params=90, flops=900, bytes=360)
SAME = Metrics(params=100, flops=1000, bytes=400)
DEAR = Metrics(params=110, flops=1000, bytes=400)
WRONG = Scale("error_rate", higher_is_better=False, proportion=True)


def study_with(
    curves: list[tuple[list[float], Metrics]], directions: tuple[str, ...] = ("maximize", "minimize")
) -> optuna.Study:
    """Complete trials; the last score of a curve is the final one, which no epoch before the last shows."""
    study = optuna.create_study(directions=list(directions), pruner=PRUNER)
    for curve, metrics in curves:
        trial = study.ask()
        trial.set_user_attr(CURVE, curve[:-1])
        trial.set_user_attr(METRICS, dict(metrics))
        study.tell(trial, [curve[-1], metrics.params][: len(directions)])
    return study


def others(rise: float = 0.02, count: int = STARTUP) -> list[tuple[list[float], Metrics]]:
    """Trials that cost more, so that they show how much curves rise, but are no rivals."""
    return [([0.8, 0.8 + rise], DEAR) for _ in range(count)]


@pytest.mark.parametrize("theirs,stops", [(CHEAP, True), (SAME, True), (DEAR, False)])
def test_stops_only_behind_one_that_costs_no_more(theirs: Metrics, stops: bool) -> None:
    study = study_with([*others(), ([0.9, 0.95], theirs)])
    assert watcher(study, study.ask(), SAME, ACCURACY, 500)(1, 0.7)[0] is stops


@pytest.mark.parametrize("score,stops", [(0.93, False), (0.90, False), (0.80, True)])
def test_intervals_decide(score: float, stops: bool) -> None:
    study = study_with([*others(), ([0.9, 0.95], CHEAP)])
    assert watcher(study, study.ask(), SAME, ACCURACY, 500)(1, score)[0] is stops


def test_a_curve_that_may_still_cross_is_not_stopped() -> None:
    """Trials of this study rise from 80 to 94 %: one at 80 % may end above a rival of 93 %, however sure both are."""
    rival = ([0.925, 0.93], CHEAP)
    steep = study_with([*others(0.14), rival])
    assert not watcher(steep, steep.ask(), SAME, ACCURACY, 1_000_000)(1, 0.80)[0]
    flat = study_with([*others(0.02), rival])
    assert watcher(flat, flat.ask(), SAME, ACCURACY, 1_000_000)(1, 0.80)[0]


def test_one_curve_alone_tells_too_little() -> None:
    study = study_with([([0.900, 0.905, 0.906, 0.907], CHEAP)])
    assert not watcher(study, study.ask(), SAME, ACCURACY, 10_000)(1, 0.880)[0]


@pytest.mark.parametrize("rivals", [1, 10, 100])
def test_many_rivals_of_the_same_worth_stop_no_more_often_than_one(rivals: int) -> None:
    """Equal networks, scores that differ by chance: the share stopped stays small whatever the number of rivals."""
    import numpy as np

    rng = np.random.default_rng(rivals)
    stopped = 0
    for _ in range(40):
        finals = rng.binomial(400, 0.9, rivals) / 400
        study = study_with([*others(0.0), *(([float(f), float(f)], CHEAP) for f in finals)])
        stopped += watcher(study, study.ask(), SAME, ACCURACY, 400)(1, float(rng.binomial(400, 0.9) / 400))[0]
    assert stopped <= 2


def test_an_error_rate_is_the_mirror_image() -> None:
    mirrored = [([1 - score for score in curve], metrics) for curve, metrics in [*others(), ([0.9, 0.95], CHEAP)]]
    study = study_with(mirrored, ("minimize", "minimize"))
    assert watcher(study, study.ask(), SAME, WRONG, 500)(1, 0.3)[0]
    assert not watcher(study, study.ask(), SAME, WRONG, 500)(1, 0.07)[0]


def test_notes_the_curve() -> None:
    study = study_with(others())
    trial = study.ask()
    stop = watcher(study, trial, SAME, ACCURACY, 500)
    assert [stop(1, 0.5)[0], stop(2, 0.6)[0]] == [False, False]
    assert study.trials[-1].user_attrs[CURVE] == [0.5, 0.6]


def test_a_score_without_intervals_stops_nothing() -> None:
    study = study_with([*others(), ([0.9, 0.95], CHEAP)])
    assert not watcher(study, study.ask(), SAME, Scale("score"), 500)(1, -100.0)[0]


def test_one_objective_asks_optunas_pruner() -> None:
    study = optuna.create_study(direction="maximize", pruner=PRUNER)
    for _ in range(10):
        trial = study.ask()
        trial.report(0.9, 1)
        study.tell(trial, 0.9)
    assert watcher(study, study.ask(), SAME, ACCURACY, 500)(1, 0.2)[0]
    assert not watcher(study, study.ask(), SAME, ACCURACY, 500)(1, 0.95)[0]


def test_it_says_why() -> None:
    several = study_with([*others(), ([0.9, 0.95], CHEAP)])
    one = optuna.create_study(direction="maximize", pruner=PRUNER)
    for _ in range(10):
        trial = one.ask()
        trial.report(0.9, 1)
        one.tell(trial, 0.9)
    reasons = [watcher(study, study.ask(), SAME, ACCURACY, 500)(1, 0.2) for study in (several, one)]
    assert reasons == [
        (True, "clearly worse than a trial that costs no more"),
        (True, "worse than the median of the trials before it"),
    ]
