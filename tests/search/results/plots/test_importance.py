"""Importances: the layer that decides is the first; with few trials, or nothing to tell, there are none."""

from __future__ import annotations

import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import create_trial

from rankfront.objectives.metrics.scale import Scale
from rankfront.search.results.plots.importance import (
    FEWEST_A_LAYER,
    FEWEST_TRIALS,
    MOST_TRIALS,
    ROWS,
    ImportancePlot,
    draw_importances,
    importance_data,
)


def study_of(trials: int, layers: int, scale: Scale, flat: bool = False) -> optuna.Study:
    """A study whose score is the better, the larger the choice of the layer ``b`` is."""
    import numpy as np

    rng = np.random.default_rng(0)
    names = [chr(ord("a") + n) for n in range(layers)]
    space = {f"{name}.choice": IntDistribution(1, 20, log=True) for name in names}
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=["maximize" if scale.higher_is_better else "minimize", "minimize"])
    optuna.logging.set_verbosity(before)
    for _ in range(trials):
        params = {name: 1 if flat else int(rng.integers(1, 21)) for name in space}
        score = scale.minimised(-float(params["b.choice"]))
        study.add_trial(create_trial(params=params, distributions=space, values=[score, 1.0]))
    return study


@pytest.mark.parametrize("higher", [True, False])
def test_the_layer_that_decides_comes_first(higher: bool) -> None:
    scale = Scale("score", higher_is_better=higher)
    found = importance_data(study_of(80, 4, scale), scale, 80, 4)
    assert found is not None
    assert next(iter(found.importances)) == "b" and found.importances["b"] > 0.7
    assert sum(found.importances.values()) == pytest.approx(1) and set(found.importances) == set("abcd")


def test_none_where_trials_are_too_few_or_too_many_or_all_alike() -> None:
    scale = Scale("score")
    assert importance_data(study_of(30, 4, scale), scale, FEWEST_TRIALS - 1, 4) is None
    assert importance_data(study_of(30, 8, scale), scale, 8 * FEWEST_A_LAYER - 1, 8) is None
    assert importance_data(study_of(30, 4, scale), scale, MOST_TRIALS + 1, 4) is None
    assert importance_data(study_of(30, 4, scale, flat=True), scale, 30, 4) is None


def test_long_names_and_many_layers_are_cut() -> None:
    drawn = draw_importances(ImportancePlot({f"encoder.layers.{n}.attention.projection": 0.02 for n in range(40)}))
    (bars,) = drawn.data
    assert (
        len(bars.y) == ROWS and max(map(len, bars.y)) <= 28 and bars.customdata[-1].endswith("0.attention.projection")
    )
