"""Which kind and rank every layer has in the front's models: a heatmap."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from ....objectives.metrics.amounts import share_shown
from ...storage.dense import DenseModel
from ...storage.trials import Scored
from .style import style


@dataclass(frozen=True)
class RankPlot:
    """Ranks per layer of the front's models: what `draw_ranks` draws."""

    layers: list[str]
    trials: list[str]
    shares: list[list[float]]
    """[layer][trial]: share of the layer's parameters that is kept, 1 for dense."""
    texts: list[list[str]]


def rank_data(front: Sequence[Scored], dense: DenseModel) -> RankPlot:
    """Return the data of a heatmap: one row a layer, one column a trial of the front, as it is ordered."""
    layers = list(front[0].plan) if front else []
    names = [f"{t.trial} ({share_shown(t.metrics.params, dense.metrics.params)})" for t in front]
    shares = [[t.shares.get(n, 1.0) for t in front] for n in layers]
    texts = [[str(t.plan[n]) for t in front] for n in layers]
    return RankPlot(layers, names, shares, texts)


SHORT = {"svd-identity": "svd+", "spatial-identity": "sp+", "spatial": "sp", "tucker2": "tk"}
"""Names of kinds short enough for a cell; those not here are."""


def draw_ranks(data: RankPlot) -> go.Figure:
    """Draw the choices per layer as a heatmap; dark keeps few of its parameters, the brightest is dense."""
    cells = [[" ".join((SHORT.get(kind, kind), *rank)) for kind, *rank in map(str.split, row)] for row in data.texts]
    layers = [html.escape(name) for name in data.layers]
    shown = len(data.trials) <= 14
    figure = go.Figure(
        go.Heatmap(
            z=data.shares,
            x=data.trials,
            y=layers,
            text=cells if shown else None,
            texttemplate="%{text}" if shown else None,
            customdata=data.texts,
            hovertemplate="layer %{y}<br>trial %{x}<br>%{customdata}<extra></extra>",
            colorscale="Blues_r",
            zmin=0,
            zmax=1,
            xgap=1,
            ygap=1,
            colorbar={"title": "params<br>kept", "tickformat": ".0%"},
        )
    )
    style(figure)
    figure.update_xaxes(title="trial on the front (params, % of the dense model)", type="category")
    figure.update_yaxes(autorange="reversed", type="category")
    figure.update_layout(height=max(300, 120 + 26 * len(data.layers)))
    return figure
