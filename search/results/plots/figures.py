"""All plots of a result, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from ....objectives.metrics.registry import SIZE
from ..best import best_or_none
from .hypervolume import draw_volumes, volume_data
from .importance import draw_importances, importance_data
from .phases import draw_phases, phase_data
from .ranks import draw_ranks, rank_data
from .score import ScorePlot, draw_score, score_data
from .tested import draw_tested, tested_data

if TYPE_CHECKING:
    from ..result import Result


def figures_of(result: Result) -> dict[str, go.Figure]:
    """Return all plots of a result, by name.

    One for each of `plotted`; ``ranks``; ``test`` where there is a test split; ``hypervolume``;
    ``importance`` where there are trials enough; ``phases`` where the study says where its time went.
    """
    best = best_or_none(result)
    figures = {name: draw_score(score_plot(result, name)) for name in plotted(result)}
    by_size = sorted(result.on_front, key=lambda t: t.metrics.get(SIZE, 0))
    figures["ranks"] = draw_ranks(rank_data(by_size, result.dense, None if best is None else best.trial))
    if (tested := tested_data(result, best)) is not None:
        figures["test"] = draw_tested(tested)
    figures["hypervolume"] = draw_volumes(volume_data(result.scored, plotted(result), result.dense, result.records))
    layers = len(result.scored[0].plan) if result.scored else 0
    if (found := importance_data(result.study, result.scale, len(result.scored), layers)) is not None:
        figures["importance"] = draw_importances(found)
    if result.seconds:
        figures["phases"] = draw_phases(phase_data(result.records, result.seconds))
    return figures


def score_plot(result: Result, metric: str) -> ScorePlot:
    """Return the data of the plot of a result's score against one metric."""
    limit = result.budget.limits(result.dense.metrics).get(metric)
    return score_data(result.scored, metric, result.dense, limit, best_or_none(result), result.finished)


def plotted(result: Result) -> list[str]:
    """Return the metrics that have a plot: the study's objectives, and what its budget bounds; else the first."""
    wanted = {*result.objectives, *(bound.metric for bound in result.budget.bounds)}
    return [name for name in result.dense.costs if name in wanted] or list(result.dense.costs[:1])
