"""How the front grew: hypervolume after each trial, over trials and over the seconds that they took."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import plotly.graph_objects as go

from ...storage.dense import DenseModel
from ...storage.trials import Record, Scored
from ..front import hypervolume_history
from .style import LINES, set_views, style


@dataclass(frozen=True)
class VolumePlot:
    """Hypervolume after each feasible trial, a line per cost: what `draw_volumes` draws."""

    score: str
    trials: list[int]
    volumes: dict[str, list[float]]
    minutes: list[float] = field(default_factory=list)
    """That all trials up to each had taken, the infeasible ones included; empty where the study does not say."""


def volume_data(
    trials: Sequence[Scored], costs: Sequence[str], dense: DenseModel, records: Sequence[Record] = ()
) -> VolumePlot:
    """Return, per metric, the hypervolume after each trial (see `front.hypervolume_history`).

    Args:
        trials: the feasible ones.
        costs: metrics.
        dense: the dense model.
        records: all trials, which tell how long they took.
    """
    volumes = {cost: hypervolume_history(trials, cost, dense.metrics) for cost in costs}
    took = itertools.accumulate((record.seconds or 0.0) / 60 for record in records)
    until = dict(zip((record.trial for record in records), took, strict=True))
    minutes = [until[t.trial] for t in trials] if until else []
    return VolumePlot(dense.scale.name, [t.trial for t in trials], volumes, minutes)


def draw_volumes(data: VolumePlot) -> go.Figure:
    """Draw hypervolume over trials, one line a cost; its other view is over minutes."""
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
    figure.update_layout(height=300)
    figure.update_yaxes(title_text="hypervolume")
    views = {"over trials": ("trial", data.trials), "over time": ("minutes in trials", data.minutes)}
    set_views(
        figure,
        {
            name: {"layout": {"xaxis": {"title": {"text": title}}}, "data": [{"x": along}] * len(data.volumes)}
            for name, (title, along) in views.items()
            if along or name == "over trials"
        },
    )
    return figure
