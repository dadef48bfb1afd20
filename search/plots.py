"""The plots: each a function that returns plain data, and one that draws it."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from ..objectives.metrics import Metrics
from ..objectives.plan import Plan
from .front import front_of, hypervolume_history
from .intervals import wilson
from .words import count_in_words, score_in_words, share_in_words

FRONT, OTHER, DENSE, LIMIT = "#0b6e99", "#a9b4bd", "#d1495b", "#2e7d32"
UNITS = {"params": "", "flops": "FLOP", "bytes": "B"}
HOVER_LINES = 24


@dataclass(frozen=True)
class ScorePlot:
    """Score against one cost: what `draw_score` draws."""

    score: str
    cost: str
    trials: pd.DataFrame
    """Feasible trials off the front: ``share`` (percent of dense), ``score``, ``hover``."""
    front: pd.DataFrame
    """The front of this score and this cost, ascending: as ``trials``, and ``low``, ``high`` where known."""
    dense_score: float
    limit_share: float | None
    """The budget on this cost, in percent of the dense model."""


def score_data(
    table: pd.DataFrame, score: str, cost: str, dense: Metrics, dense_score: float, limit: float | None, samples: int
) -> ScorePlot:
    """Return the data of a plot of score against one cost.

    Args:
        table: of `trials.trial_table`.
        score: its column.
        cost: the other axis's column.
        dense: what the dense model costs.
        dense_score: how it scores.
        limit: the budget on ``cost``, absolute.
        samples: how many the score was measured on, for the intervals of an accuracy.
    """
    rows = table[table["feasible"].astype(bool)].copy()
    rows["share"] = 100 * rows[cost] / getattr(dense, cost)
    rows["hover"] = [_hover(row, score, dense) for _, row in rows.iterrows()]
    front = front_of(rows, score, [cost])
    if score == "accuracy":
        intervals = [wilson(value, samples) for value in front[score]]
        front["low"], front["high"] = [low for low, _ in intervals], [high for _, high in intervals]
    share = None if limit is None else 100 * limit / getattr(dense, cost)
    others = rows[~rows["trial"].isin(front["trial"])]
    return ScorePlot(score, cost, others, front, dense_score, share)


def draw_score(data: ScorePlot) -> go.Figure:
    """Draw score against one cost: every trial, the front as a line, the dense model, the budget."""
    percent = data.score == "accuracy"
    scale = 100 if percent else 1
    figure = go.Figure()
    figure.add_scatter(
        x=data.trials["share"],
        y=scale * data.trials[data.score],
        mode="markers",
        name="trial",
        marker={"color": OTHER, "size": 7},
        hovertext=data.trials["hover"],
        hoverinfo="text",
    )
    bars = None
    if "low" in data.front:
        bars = {
            "type": "data",
            "symmetric": False,
            "array": scale * (data.front["high"] - data.front[data.score]),
            "arrayminus": scale * (data.front[data.score] - data.front["low"]),
            "thickness": 1,
            "width": 3,
        }
    figure.add_scatter(
        x=data.front["share"],
        y=scale * data.front[data.score],
        error_y=bars,
        mode="lines+markers",
        name="front, 95 % interval" if bars else "front",
        line={"color": FRONT, "width": 2, "shape": "hv"},
        marker={"size": 9},
        hovertext=data.front["hover"],
        hoverinfo="text",
    )
    figure.add_scatter(
        x=[100],
        y=[scale * data.dense_score],
        mode="markers",
        name="dense model",
        marker={"color": DENSE, "size": 14, "symbol": "star"},
        hovertext=[f"dense model<br>{data.score} {score_in_words(data.score, data.dense_score)}"],
        hoverinfo="text",
    )
    if data.limit_share is not None:
        figure.add_vline(x=data.limit_share, line={"color": LIMIT, "dash": "dash", "width": 1.5})
        figure.add_annotation(
            x=data.limit_share, y=1, xref="x", yref="paper", text=f"budget {data.limit_share:.3g} %",
            showarrow=False, xanchor="left", yanchor="bottom", font={"color": LIMIT},
        )  # fmt: skip
    _style(figure)
    title = f"validation {data.score}" + (" (%)" if percent else "")
    what = "flops of one input (2 per multiply-add)" if data.cost == "flops" else data.cost
    figure.update_xaxes(title=f"{what}, % of the dense model", ticksuffix=" %")
    figure.update_yaxes(title=title, range=_range(data, scale))
    return figure


def _range(data: ScorePlot, scale: float) -> list[float] | None:
    """Return a range of scores in which the upper part of the front can be read: poor trials may fall out."""
    scores = data.front[data.score]
    if scores.empty:
        return None
    top = max(scores.max(), data.dense_score, *data.front.get("high", [scores.max()]))
    everything = pd.concat([scores, data.trials[data.score]])
    low = max(everything.min(), top - 4 * (top - everything.quantile(0.4)) - 0.02 * abs(top))
    margin = 0.06 * (top - low or 1.0)
    return [scale * (low - margin), scale * (top + margin)]


@dataclass(frozen=True)
class RankPlot:
    """Ranks per layer of the front's models: what `draw_ranks` draws."""

    layers: list[str]
    trials: list[str]
    shares: list[list[float]]
    """[layer][trial]: rank as a share of the layer's full rank, 1 for dense."""
    texts: list[list[str]]


def rank_data(front: pd.DataFrame, full_ranks: Mapping[str, int], cost: str, dense: Metrics) -> RankPlot:
    """Return the data of a heatmap: one row a layer, one column a trial of the front, smallest first."""
    plans: list[Plan] = list(front["plan"])
    layers = list(plans[0]) if plans else []
    names = [
        f"{int(row['trial'])} ({share_in_words(row[cost], getattr(dense, cost))})" for _, row in front.iterrows()
    ]
    shares = [[1.0 if (r := plan[n].rank) is None else r / full_ranks[n] for plan in plans] for n in layers]
    texts = [[str(plan[n]) for plan in plans] for n in layers]
    return RankPlot(layers, names, shares, texts)


def draw_ranks(data: RankPlot) -> go.Figure:
    """Draw the ranks per layer as a heatmap; dark is low rank, the brightest is dense."""
    numbers = [[text.removeprefix("svd ") for text in row] for row in data.texts]
    layers = [html.escape(name) for name in data.layers]
    figure = go.Figure(
        go.Heatmap(
            z=data.shares,
            x=data.trials,
            y=layers,
            text=numbers if len(data.trials) <= 24 else None,
            texttemplate="%{text}" if len(data.trials) <= 24 else None,
            customdata=data.texts,
            hovertemplate="layer %{y}<br>trial %{x}<br>%{customdata}<extra></extra>",
            colorscale="Blues_r",
            zmin=0,
            zmax=1,
            xgap=1,
            ygap=1,
            colorbar={"title": "rank /<br>full rank"},
        )
    )
    _style(figure)
    figure.update_xaxes(title="trial on the front (params, % of the dense model)", type="category")
    figure.update_yaxes(autorange="reversed", type="category")
    figure.update_layout(height=max(320, 120 + 26 * len(data.layers)))
    return figure


def volume_data(table: pd.DataFrame, score: str, costs: list[str], dense: Metrics) -> dict[str, pd.DataFrame]:
    """Return, per cost, the hypervolume after each trial (see `front.hypervolume_history`)."""
    return {cost: hypervolume_history(table, score, cost, dense) for cost in costs}


def draw_volumes(data: Mapping[str, pd.DataFrame], score: str) -> go.Figure:
    """Draw hypervolume over trials, one line a cost."""
    figure = go.Figure()
    for (cost, history), color in zip(data.items(), (FRONT, "#e08e0b", "#7b4fa3"), strict=False):
        figure.add_scatter(
            x=history["trial"], y=history["hypervolume"], mode="lines", name=f"{score} × {cost}",
            line={"color": color, "width": 2, "shape": "hv"},
        )  # fmt: skip
    _style(figure)
    figure.update_xaxes(title="trial")
    figure.update_yaxes(title="hypervolume (share of the unit square)")
    return figure


def _hover(row: pd.Series, score: str, dense: Metrics) -> str:
    costs = [
        f"{m} {count_in_words(row[m], UNITS[m])} ({share_in_words(row[m], getattr(dense, m))})"
        for m in Metrics._fields
    ]
    plan = [f"{html.escape(name[-60:])}: {choice}" for name, choice in row["plan"].items()]
    if len(plan) > HOVER_LINES:
        plan = [*plan[:HOVER_LINES], f"… and {len(plan) - HOVER_LINES} more"]
    head = f"<b>trial {int(row['trial'])}</b>: {score} {score_in_words(score, row[score])}"
    return "<br>".join([head, *costs, "", *plan])


def _style(figure: go.Figure) -> None:
    figure.update_layout(
        template="plotly_white",
        margin={"l": 60, "r": 20, "t": 30, "b": 50},
        height=420,
        legend={"orientation": "h", "y": 1.02, "x": 1, "xanchor": "right", "yanchor": "bottom"},
        font={"family": "system-ui, sans-serif", "size": 13},
        hoverlabel={"align": "left"},
    )
