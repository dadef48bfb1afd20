"""How much each layer's choice decides whether a trial is among the best: Optuna's importances, a bar a layer.

PED-ANOVA (Watanabe, Bansal, Hutter, "PED-ANOVA: Efficiently quantifying hyperparameter importance in arbitrary
subspaces", 2023): a layer is important where the choices of the best quarter of trials are distributed otherwise than
those of all. It is about the trials that were run, which samplers chose.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import plotly.graph_objects as go
from optuna.study import Study
from optuna.trial import FrozenTrial

from ....objectives.metrics.scale import Scale
from .style import FRONT, style

BEST = 0.25
"""The share of trials that count as the best."""

FEWEST_TRIALS, FEWEST_A_LAYER = 20, 4
"""Complete trials that are needed, at all and for each layer: with fewer, importances are noise. (Of 40 layers of which
one decided a made-up score, it was not the first of 40 trials' importances, but had 0.72 of 1,000 trials'.)"""

MOST_TRIALS = 5000
"""Of more trials importances are not computed: 1.2 s of 5,000 trials on 40 layers."""

ROWS = 25
"""Layers that are drawn at most."""


@dataclass(frozen=True)
class ImportancePlot:
    """Layer → its importance, all of which sum to 1, the largest first."""

    importances: dict[str, float]


def importance_data(study: Study, scale: Scale, trials: int, layers: int) -> ImportancePlot | None:
    """Return the importances of a study's layers for its score; None where trials are too few, or too many.

    Args:
        study: its first value is the score, its parameters are ``<layer>.choice``.
        scale: which direction of the score is better.
        trials: how many are complete.
        layers: how many have choices.
    """
    if not max(FEWEST_TRIALS, FEWEST_A_LAYER * layers) <= trials <= MOST_TRIALS:
        return None
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    evaluator = PedAnovaImportanceEvaluator(target_quantile=BEST)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that targets are minimised: they are
        found = get_param_importances(study, evaluator=evaluator, target=_minimised(scale), normalize=False)
    whole = math.fsum(found.values())
    if not 0 < whole < math.inf:  # no choice differs
        return None
    return ImportancePlot({name.removesuffix(".choice"): share / whole for name, share in found.items()})


def _minimised(scale: Scale) -> Callable[[FrozenTrial], float]:
    return lambda trial: scale.minimised(trial.values[0])


def draw_importances(data: ImportancePlot) -> go.Figure:
    """Draw a bar a layer, the most important one at the top."""
    shown = list(data.importances.items())[:ROWS][::-1]
    figure = go.Figure()
    figure.add_bar(
        x=[100 * share for _, share in shown],
        y=[name if len(name) <= 28 else f"…{name[-27:]}" for name, _ in shown],
        orientation="h",
        marker={"color": FRONT},
        customdata=[name for name, _ in shown],
        hovertemplate="%{customdata}<br>%{x:.1f} %<extra></extra>",
    )
    style(figure)
    figure.update_layout(height=max(300, 100 + 20 * len(shown)), bargap=0.25)
    figure.update_xaxes(title_text="importance, %", rangemode="tozero")
    return figure
