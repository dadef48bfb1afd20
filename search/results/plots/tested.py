"""The front's scores on test against those on validation, which chose it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from ....objectives.metrics.scale import Scale
from .marks import BEST_MARK, DENSE_MARK, FINISHED_MARK
from .style import CLOSE_UP, FRONT, SOFT, WHOLE_RANGE, set_views, style

if TYPE_CHECKING:
    from ...storage.trials import Scored
    from ..result import Result


NEVER_LESS = 3
"""Models that are shown at least."""


@dataclass(frozen=True)
class TestedPoint:
    """One model and its scores on both splits."""

    name: str
    validation: float
    test: float
    interval: tuple[float, float] | None = None
    """The 95 % interval of the test score."""


@dataclass(frozen=True)
class TestedPlot:
    """Test against validation: what `draw_tested` draws."""

    scale: Scale
    front: list[TestedPoint]
    """The best-scoring first."""
    best: list[TestedPoint]
    finished: list[TestedPoint]
    dense: list[TestedPoint]


def tested_data(result: Result, best: Scored | None) -> TestedPlot | None:
    """Return the models that were scored on test; None where none was."""

    def points(trials: Sequence[Scored]) -> list[TestedPoint]:
        return [
            TestedPoint(f"trial {t.trial}", t.score, test, result.test_interval(t.trial))
            for t in trials
            if (test := result.test_score(t.trial)) is not None
        ]

    front = points(sorted(result.on_front, key=lambda t: t.minimised))
    if not front:
        return None
    dense = result.test_score(None)
    return TestedPlot(
        result.scale,
        front,
        points([] if best is None else [best]),
        [TestedPoint(f"finished, {m.name}", m.score, m.test) for m in result.finished if m.test is not None],
        [] if dense is None else [TestedPoint("dense model", result.dense.score, dense)],
    )


def draw_tested(data: TestedPlot) -> go.Figure:
    """Draw every model of the front, the best, finished ones and the dense one; the line is where both are equal."""
    factor, unit = data.scale.axis
    figure = go.Figure()
    everything = [*data.front, *data.best, *data.finished, *data.dense]
    ends = [factor * score for point in everything for score in (point.validation, point.test)]
    figure.add_scatter(
        x=[min(ends), max(ends)],
        y=[min(ends), max(ends)],
        mode="lines",
        name="equal",
        line={"color": SOFT, "width": 1, "dash": "dot"},
        hoverinfo="skip",
    )
    marks = (
        ("front", data.front, {"color": FRONT, "size": 8}),
        ("best", data.best, BEST_MARK),
        ("finished", data.finished, FINISHED_MARK),
        ("dense", data.dense, DENSE_MARK),
    )
    for name, points, marker in marks:
        figure.add_scatter(
            x=[factor * point.validation for point in points],
            y=[factor * point.test for point in points],
            error_y=_bars(points, factor),
            mode="markers",
            name=name,
            marker=marker,
            hovertext=[
                f"{point.name}<br>validation {data.scale.show(point.validation)}<br>test {data.scale.show(point.test)}"
                for point in points
            ],
            hoverinfo="text",
        )
    style(figure)
    figure.update_layout(height=380)
    figure.update_xaxes(title_text=f"validation {data.scale.name}{unit}")
    figure.update_yaxes(title_text=f"test {data.scale.name}{unit}")
    upper = data.front[: max(NEVER_LESS, len(data.front) // 2)]
    set_views(
        figure,
        {
            CLOSE_UP: {"layout": _ranges([*upper, *data.best, *data.finished, *data.dense], factor)},
            WHOLE_RANGE: {"layout": _ranges(everything, factor)},
        },
    )
    return figure


def _bars(points: Sequence[TestedPoint], factor: float) -> dict[str, object] | None:
    pairs = [(point.test, point.interval) for point in points]
    known = [(test, ends) for test, ends in pairs if ends is not None]
    if len(known) < len(points) or not points:
        return None
    return {
        "type": "data",
        "symmetric": False,
        "array": [factor * (high - test) for test, (_, high) in known],
        "arrayminus": [factor * (test - low) for test, (low, _) in known],
        "thickness": 1,
        "width": 3,
    }


def _ranges(points: Sequence[TestedPoint], factor: float) -> dict[str, object]:
    def about(scores: Sequence[float]) -> dict[str, list[float]]:
        margin = 0.08 * (max(scores) - min(scores)) or 0.01 * abs(max(scores)) or 1.0
        return {"range": [factor * (min(scores) - margin), factor * (max(scores) + margin)]}

    ends = [end for point in points if point.interval for end in point.interval]
    return {
        "xaxis": about([point.validation for point in points]),
        "yaxis": about([*(point.test for point in points), *ends]),
    }
