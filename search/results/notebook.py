"""A result as a notebook shows it: one sentence, the front as a table, the front as a figure.

It is plain HTML and SVG of a few kilobytes, without a script: a saved notebook stays small and shows it wherever it is
opened. Words take the notebook's own colour, light or dark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ...objectives.metrics.registry import metric_named
from .best import best_or_none
from .headline import headline_of
from .shown import front_cells
from .tables import front_rows

if TYPE_CHECKING:
    from .plots.score import ScorePlot
    from .result import Result

ROWS = 12
"""Of the front that are shown at most; the best is one of them."""

LEFT, RIGHT, TOP, BOTTOM, WIDTH, HEIGHT = 48, 700, 12, 250, 712, 300
"""Of the figure, in pixels."""


def as_html(result: Result) -> str:
    """Return a result as HTML that stands on its own, for IPython's display."""
    from .plots import style
    from .plots.figures import plotted, score_plot

    best = best_or_none(result)
    data = score_plot(result, plotted(result)[0])
    columns, rows = front_cells(result, front_rows(result))
    marked = [{"cells": cells, "best": best is not None and cells[0] == str(best.trial)} for cells in rows]
    kept = [row for n, row in enumerate(marked) if n < ROWS - 1 or row["best"] or n == len(rows) - 1]
    loader = PackageLoader("rankfront.search.results", package_path="")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.get_template("notebook.html.jinja").render(
        name=result.study.study_name,
        headline=headline_of(result),
        table={"columns": columns, "rows": kept},
        left_out=len(marked) - len(kept),
        plot=_plot(data) if data.front else None,
        colors=style,
    )


def _plot(data: ScorePlot) -> dict[str, Any]:
    """Return what the template draws: places in pixels, each with the words that hovering shows."""
    from .plots.window import Window

    window, scale = Window.of(data), data.scale

    def right(place: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * place, 1)

    def down(place: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * place, 1)

    def points(some: Any) -> list[tuple[float, float, str]]:
        return [
            (right(x), down(y), f"trial {p.trial}: {scale.name} {scale.show(p.score)}, {data.metric} {p.share:.3g} %")
            for x, y, p in window.inside(some)
        ]

    front = points(data.front)
    steps = f"M{front[0][0]} {front[0][1]}" + "".join(f"H{x}V{y}" for x, y, _ in front[1:]) if front else ""
    return {
        "width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM,
        "label": f"validation {scale.name}{scale.axis[1]} against {metric_named(data.metric).label}, % of the dense",
        "across": [(right(x), text) for x, text in window.across],
        "up": [(down(y), text) for y, text in window.up],
        "front": front, "steps": steps, "others": points(data.others),
        "best": points([] if data.best is None else [data.best]), "finished": points(data.finished),
        "dense": down(window.above(data.dense_score)), "dense_label": f"dense {scale.show(data.dense_score)}",
    }  # fmt: skip
