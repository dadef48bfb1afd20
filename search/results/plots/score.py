"""Score against one metric: every trial, the front, the dense model, the best, finished models, the budget."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import plotly.graph_objects as go

from ....objectives.metrics.amounts import share_shown
from ....objectives.metrics.registry import METRICS, metric_named
from ....objectives.metrics.scale import Scale
from ...storage.dense import DenseModel
from ...storage.trials import Scored
from ..finished import FinishedModel
from ..front import front_of
from .marks import BEST_MARK, DENSE_MARK, FINISHED_MARK, mark
from .ranges import decisive, whole
from .style import CLOSE_UP, DENSE, FRONT, LIMIT, OTHER, WHOLE_RANGE, set_views, style

HOVER_LINES = 24
"""Of a plan, shown where the mouse is."""

MAX_POINTS = 1000
"""Of trials off the front: more make a page slow, and cover each other."""

MAX_PLANS = 200
"""Of trials off the front: of more the plans are left out, which are most of a page of thousands."""


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
    best: Point | None = None
    """The best trial within the study's budget."""
    finished: list[Point] = field(default_factory=list)
    """Its finished models."""


def score_data(
    trials: Sequence[Scored],
    metric: str,
    dense: DenseModel,
    limit: float | None,
    best: Scored | None = None,
    finished: Sequence[FinishedModel] = (),
) -> ScorePlot:
    """Return the data of a plot of the score against one metric.

    Args:
        trials: all feasible ones.
        metric: the other axis.
        dense: the dense model's score and costs.
        limit: the budget on ``metric``, absolute.
        best: the best trial within the study's budget.
        finished: the models that were fine-tuned for longer.
    """
    whole, scale = dense.metrics[metric], dense.scale
    trials = [t for t in trials if metric in t.metrics]
    front = front_of(trials, [metric])
    on_front = {t.trial for t in front}
    others = [t for t in trials if t.trial not in on_front]
    nth = -(-len(others) // MAX_POINTS) or 1
    intervals = [t.interval or scale.interval(t.score, dense.samples["validation"]) for t in front]

    def points(some: Sequence[Scored], plans: bool = True) -> list[Point]:
        return [Point(t.trial, 100 * t.metrics[metric] / whole, t.score, _hover(t, dense, plans)) for t in some]

    return ScorePlot(
        scale,
        metric,
        points(others[::nth], len(others) <= MAX_PLANS),
        nth,
        points(front),
        [interval for interval in intervals if interval is not None],
        dense.score,
        None if limit is None else 100 * limit / whole,
        next(iter(points([best] if best is not None and metric in best.metrics else [])), None),
        [
            Point(model.trial, 100 * model.metrics[metric] / whole, model.score, _finished_hover(model, scale))
            for model in finished
            if metric in model.metrics
        ],
    )


def draw_score(data: ScorePlot) -> go.Figure:
    """Draw the score against one metric; it opens where the front's upper part is, its other view is the whole."""
    factor, unit = data.scale.axis
    figure = go.Figure()
    name = "trial" if data.nth == 1 else f"trial (one in {data.nth})"
    _points(figure, data.others, factor, name, {"color": OTHER, "size": 6})
    _points(
        figure, data.front, factor, "front, 95 % interval" if data.intervals else "front", {"color": FRONT, "size": 8}
    )
    figure.update_traces(
        {
            "mode": "lines+markers",
            "line": {"color": FRONT, "width": 2, "shape": "hv"},
            "error_y": _bars(data, factor),
        },
        selector=1,
    )
    _points(figure, [] if data.best is None else [data.best], factor, "best", BEST_MARK)
    _points(figure, data.finished, factor, "finished", FINISHED_MARK)
    figure.add_scatter(
        x=[100],
        y=[factor * data.dense_score],
        mode="markers",
        name="dense",
        marker=DENSE_MARK,
        hovertext=[f"dense model<br>{data.scale.name} {data.scale.show(data.dense_score)}"],
        hoverinfo="text",
    )
    style(figure)
    mark(figure, "y", factor * data.dense_score, f"dense {data.scale.show(data.dense_score)}", DENSE)
    if data.limit_share is not None:
        mark(
            figure,
            "x",
            data.limit_share,
            f"budget {data.limit_share:.3g} %",
            LIMIT,
            upper=not data.scale.higher_is_better,
        )
    figure.update_xaxes(title_text=f"{metric_named(data.metric).label}, % of the dense model", type="log")
    figure.update_yaxes(title_text=f"validation {data.scale.name}{unit}")
    set_views(figure, {CLOSE_UP: {"layout": decisive(data)}, WHOLE_RANGE: {"layout": whole(data)}})
    return figure


def _points(figure: go.Figure, points: Sequence[Point], factor: float, name: str, marker: Mapping[str, object]) -> None:
    figure.add_scatter(
        x=[point.share for point in points],
        y=[factor * point.score for point in points],
        mode="markers",
        name=name,
        marker=marker,
        customdata=[point.trial for point in points],
        hovertext=[point.hover for point in points],
        hoverinfo="text",
    )


def _bars(data: ScorePlot, factor: float) -> dict[str, object] | None:
    if not data.intervals:
        return None
    pairs = list(zip(data.front, data.intervals, strict=True))
    return {
        "type": "data",
        "symmetric": False,
        "array": [factor * (high - point.score) for point, (_, high) in pairs],
        "arrayminus": [factor * (point.score - low) for point, (low, _) in pairs],
        "thickness": 1,
        "width": 3,
    }


def _hover(trial: Scored, dense: DenseModel, plans: bool) -> str:
    costs = [
        f"{name} {METRICS[name].show(amount)} ({share_shown(amount, dense.metrics[name])})"
        for name in dense.costs
        if (amount := trial.metrics.get(name)) is not None
    ]
    plan = [f"{html.escape(name[-60:])}: {choice}" for name, choice in trial.plan.items()]
    if len(plan) > HOVER_LINES:
        plan = [*plan[:HOVER_LINES], f"… and {len(plan) - HOVER_LINES} more"]
    head = f"<b>trial {trial.trial}</b>: {dense.scale.name} {dense.scale.show(trial.score)}"
    return "<br>".join([head, *costs, *(["", *plan] if plans else [])])


def _finished_hover(model: FinishedModel, scale: Scale) -> str:
    head = f"<b>finished, {html.escape(model.name)}</b>: {scale.name} {scale.show(model.score)}"
    return f"{head}<br>trial {model.trial} after {model.epochs} more epochs"
