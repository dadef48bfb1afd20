"""Early stops: by Optuna's pruner under one objective, by intervals under several."""

import optuna
import pytest

from rankfront.objectives.metrics.count import Metrics
from rankfront.search.storage.trials import METRICS
from rankfront.search.study.pruning import CURVE, PRUNER, watcher

CHEAP, SAME, DEAR = Metrics(90, 900, 360), Metrics(100, 1000, 400), Metrics(110, 1000, 400)


def study_with(
    curve: list[float], metrics: Metrics, directions: tuple[str, ...] = ("maximize", "minimize")
) -> optuna.Study:
    study = optuna.create_study(directions=list(directions), pruner=PRUNER)
    trial = study.ask()
    trial.set_user_attr(CURVE, curve)
    trial.set_user_attr(METRICS, metrics._asdict())
    study.tell(trial, [curve[-1], metrics.params][: len(directions)])
    return study


@pytest.mark.parametrize("theirs,stops", [(CHEAP, True), (SAME, True), (DEAR, False)])
def test_stops_only_behind_one_that_costs_no_more(theirs: Metrics, stops: bool) -> None:
    study = study_with([0.9, 0.95], theirs)
    behind = watcher(study, study.ask(), SAME, 500)
    assert behind(1, 0.7) is stops


@pytest.mark.parametrize("score,stops", [(0.89, False), (0.86, False), (0.80, True)])
def test_intervals_decide(score: float, stops: bool) -> None:
    study = study_with([0.9, 0.95], CHEAP)
    assert watcher(study, study.ask(), SAME, 500)(1, score) is stops


def test_compares_the_same_epoch_and_notes_the_curve() -> None:
    study = study_with([0.5, 0.95], CHEAP)
    trial = study.ask()
    behind = watcher(study, trial, SAME, 500)
    assert [behind(1, 0.5), behind(2, 0.6)] == [False, True]
    assert study.trials[-1].user_attrs[CURVE] == [0.5, 0.6]


def test_a_score_without_intervals_stops_nothing() -> None:
    study = study_with([0.9], CHEAP)
    assert not watcher(study, study.ask(), SAME, 0)(1, -100.0)


def test_one_objective_asks_optunas_pruner() -> None:
    study = optuna.create_study(direction="maximize", pruner=PRUNER)
    for _ in range(10):
        trial = study.ask()
        trial.report(0.9, 1)
        study.tell(trial, 0.9)
    assert watcher(study, study.ask(), SAME, 500)(1, 0.2)
    assert not watcher(study, study.ask(), SAME, 500)(1, 0.95)
