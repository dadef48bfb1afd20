"""How the front grew: hypervolume after each trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from ...storage.dense import DenseModel
from ...storage.trials import Scored
from ..front import hypervolume_history
from .style import LINES, style


@dataclass(frozen=True)
class VolumePlot:
    """Hypervolume after each feasible trial, a line per cost: what `draw_volumes` draws."""

    score: str
    trials: list[int]
    volumes: dict[str, list[float]]


def volume_data(trials: Sequence[Scored], costs: Sequence[str], dense: DenseModel) -> VolumePlot:
    """Return, per metric, the hypervolume after each trial (see `front.hypervolume_history`)."""
    volumes = {cost: hypervolume_history(trials, cost, dense.metrics) for cost in costs}
    return VolumePlot(dense.scale.name, [t.trial for t in trials], volumes)


def draw_volumes(data: VolumePlot) -> go.Figure:
    """Draw hypervolume over trials, one line a cost."""
    figure = go.Figure()
    for (cost, volumes), color in zip(data.volumes.items(), LINES, strict=False):
        figure.add_scatter(
            x=data.trials,
            y=volumes,
            mode="lines",
            name=f"{data.score} × {cost}",
            line={"color": color, "width": 2, "shape": "hv"},
        )
    style(figure)
    figure.update_layout(height=300, legend={"y": 0.05, "x": 1, "xanchor": "right", "yanchor": "bottom"})
    figure.update_xaxes(title="trial")
    figure.update_yaxes(title="hypervolume")
    return figure
