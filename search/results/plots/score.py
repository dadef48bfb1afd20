"""Score against one metric: every trial, the front, the dense model, the budget."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from ....objectives.metrics.amounts import share_shown
from ....objectives.metrics.registry import METRICS, metric_named
from ....objectives.metrics.scale import Scale
from ...storage.dense import DenseModel
from ...storage.trials import Scored
from ..front import front_of
from .style import DENSE, FRONT, LIMIT, OTHER, style

HOVER_LINES = 24
"""Of a plan, shown where the mouse is."""

MAX_POINTS = 1000
"""Of trials off the front: more make a page slow, and cover each other."""


@dataclass(frozen=True)
class Point:
    """One trial in a plot: ``share`` of the dense model's cost in percent, its score, what hovering shows."""

    trial: int
    share: float
    score: float
    hover: str


@dataclass(frozen=True)
class ScorePlot:
    """Score against one metric: what `draw_score` draws."""

    scale: Scale
    metric: str
    others: list[Point]
    """Feasible trials off the front, `MAX_POINTS` at most: every ``nth`` of them."""
    nth: int
    front: list[Point]
    """The front of this score and this metric, cheapest first."""
    intervals: list[tuple[float, float]]
    """The 95 % intervals of the front's scores; empty where a score has none."""
    dense_score: float
    limit_share: float | None
    """The budget on this metric, in percent of the dense model."""


def score_data(trials: Sequence[Scored], metric: str, dense: DenseModel, limit: float | None) -> ScorePlot:
    """Return the data of a plot of the score against one metric.

    Args:
        trials: all feasible ones.
        metric: the other axis.
        dense: the dense model's score and costs.
        limit: the budget on ``metric``, absolute.
    """
    whole, scale = dense.metrics[metric], dense.scale
    trials = [t for t in trials if metric in t.metrics]
    front = front_of(trials, [metric])
    on_front = {t.trial for t in front}
    others = [t for t in trials if t.trial not in on_front]
    nth = -(-len(others) // MAX_POINTS) or 1
    intervals = [t.interval or scale.interval(t.score, dense.samples["validation"]) for t in front]

    def points(some: Sequence[Scored]) -> list[Point]:
        return [Point(t.trial, 100 * t.metrics[metric] / whole, t.score, _hover(t, dense)) for t in some]

    return ScorePlot(
        scale,
        metric,
        points(others[::nth]),
        nth,
        points(front),
        [interval for interval in intervals if interval is not None],
        dense.score,
        None if limit is None else 100 * limit / whole,
    )


def draw_score(data: ScorePlot) -> go.Figure:
    """Draw the score against one metric: every trial, the front as a line, the dense model, the budget."""
    factor, unit = data.scale.axis
    figure = go.Figure()
    figure.add_scatter(
        x=[point.share for point in data.others],
        y=[factor * point.score for point in data.others],
        mode="markers",
        name="trial" if data.nth == 1 else f"trial (one in {data.nth})",
        marker={"color": OTHER, "size": 7},
        hovertext=[point.hover for point in data.others],
        hoverinfo="text",
    )
    bars = None
    if data.intervals:
        pairs = list(zip(data.front, data.intervals, strict=True))
        bars = {
            "type": "data",
            "symmetric": False,
            "array": [factor * (high - point.score) for point, (_, high) in pairs],
            "arrayminus": [factor * (point.score - low) for point, (low, _) in pairs],
            "thickness": 1,
            "width": 3,
        }
    figure.add_scatter(
        x=[point.share for point in data.front],
        y=[factor * point.score for point in data.front],
        error_y=bars,
        mode="lines+markers",
        name="front, 95 % interval" if bars else "front",
        line={"color": FRONT, "width": 2, "shape": "hv"},
        marker={"size": 9},
        hovertext=[point.hover for point in data.front],
        hoverinfo="text",
    )
    figure.add_scatter(
        x=[100],
        y=[factor * data.dense_score],
        mode="markers",
        name="dense model",
        marker={"color": DENSE, "size": 14, "symbol": "star"},
        hovertext=[f"dense model<br>{data.scale.name} {data.scale.show(data.dense_score)}"],
        hoverinfo="text",
    )
    if data.limit_share is not None:
        figure.add_vline(x=data.limit_share, line={"color": LIMIT, "dash": "dash", "width": 1.5})
        figure.add_annotation(
            x=math.log10(data.limit_share),  # on a logarithmic axis an annotation's place is the exponent
            y=0.02,
            xref="x",
            yref="paper",
            text=f"budget {data.limit_share:.3g} %",
            showarrow=False,
            xanchor="right",
            yanchor="bottom",
            xshift=-4,
            font={"color": LIMIT},
        )
    style(figure)
    figure.update_xaxes(title=f"{metric_named(data.metric).label}, % of the dense model", type="log")
    figure.update_xaxes(_percent_ticks(data))
    title = f"validation {data.scale.name}{unit}"
    figure.update_yaxes(title=title, range=_range(data, factor))
    return figure


def _percent_ticks(data: ScorePlot) -> dict[str, list[float] | list[str]]:
    """Return ticks 1-2-5 on the logarithmic axis, from just below the smallest trial to the dense model or beyond."""
    shares = [point.share for point in (*data.front, *data.others)]
    limit = 100 if data.limit_share is None else data.limit_share
    least, most = min([*shares, limit]) or 1e-3, max([*shares, limit, 100])
    ticks = [m * 10.0**e for e in range(-6, 6) for m in (1, 2, 5) if least / 2.5 <= m * 10.0**e <= most]
    low, high = math.log10(least) - 0.08, math.log10(most) + 0.08
    return {"tickvals": ticks, "ticktext": [f"{tick:g} %" for tick in ticks], "range": [low, high]}


def _range(data: ScorePlot, factor: float) -> list[float] | None:
    """Return a range of scores in which the whole front can be read: poor trials may fall out."""
    scores = sorted((point.score for point in (*data.front, *data.others)), key=data.scale.minimised)
    if not scores:
        return None
    bounds = [end for interval in data.intervals for end in interval]
    shown = [point.score for point in data.front] + bounds + [data.dense_score]
    best = min(shown, key=data.scale.minimised)
    middle = scores[(len(scores) - 1) * 3 // 5]
    span = 4 * abs(best - middle) + 0.02 * abs(best)  # most trials lie within it
    worst = scores[-1] if abs(best - scores[-1]) < span else best + math.copysign(span, scores[-1] - best)
    low, high = min([*shown, worst]), max([*shown, worst])
    margin = 0.06 * (high - low or 1.0)
    return [factor * (low - margin), factor * (high + margin)]


def _hover(trial: Scored, dense: DenseModel) -> str:
    costs = [
        f"{name} {METRICS[name].show(amount)} ({share_shown(amount, dense.metrics[name])})"
        for name in dense.costs
        if (amount := trial.metrics.get(name)) is not None
    ]
    plan = [f"{html.escape(name[-60:])}: {choice}" for name, choice in trial.plan.items()]
    if len(plan) > HOVER_LINES:
        plan = [*plan[:HOVER_LINES], f"… and {len(plan) - HOVER_LINES} more"]
    head = f"<b>trial {trial.trial}</b>: {dense.scale.name} {dense.scale.show(trial.score)}"
    return "<br>".join([head, *costs, "", *plan])
