"""The front as a plot of characters, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...objectives.metrics.registry import metric_named
from .plots.figures import plotted, score_plot
from .plots.window import Window

if TYPE_CHECKING:
    from .plots.score import ScorePlot
    from .result import Result

COLUMNS, LINES = 72, 16
"""Of the plot, without its axes."""


def text_plot(result: Result) -> str:
    """Return the plot of the score against the first metric that the study has a plot of, where decisions are made."""
    return drawn(score_plot(result, plotted(result)[0]), COLUMNS, LINES)


def drawn(data: ScorePlot, columns: int, lines: int) -> str:
    """Return a plot as lines of text."""
    window = Window.of(data)
    across, down = columns - 1, lines - 1
    cells = [[" "] * columns for _ in range(lines)]
    dense = window.above(data.dense_score)
    if 0 <= dense <= 1:
        cells[round(down * (1 - dense))] = ["╌"] * columns
    for points, mark in (
        (data.others, "·"),
        (data.front, "●"),
        (data.finished, "△"),
        ([] if data.best is None else [data.best], "◆"),
    ):
        for x, y, _ in window.inside(points):
            cells[round(down * (1 - y))][round(across * x)] = mark
    labels = {round(down * (1 - y)): text for y, text in window.up}
    wide = max(map(len, labels.values()), default=0)
    rows = [f"{labels.get(n, ''):>{wide}} {'┤' if n in labels else '│'}{''.join(row)}" for n, row in enumerate(cells)]
    below = [" "] * (columns + 4)
    for x, text in window.across:
        start = max(0, round(across * x) - len(text) // 2)
        if start + len(text) <= len(below) and not "".join(below[max(0, start - 1) : start + len(text) + 1]).strip():
            below[start : start + len(text)] = text
    cost, scale = metric_named(data.metric).label, data.scale
    what = f"validation {scale.name}{scale.axis[1]} against {cost}, % of the dense model"
    key = "● front  ◆ best  △ finished  · other trials  ╌ dense"
    indent = " " * wide
    rows += [f"{indent}{line}" for line in (f" └{'─' * columns}", f"  {''.join(below)}", f"  {what}", f"  {key}")]
    return "\n".join(row.rstrip() for row in rows)
