"""How all plots look: colours, margins, fonts.

Colours are Okabe and Ito's, which people of every colour vision tell apart; marks differ in shape, too. A plot is drawn
in light colours; where the page is dark, each is replaced by the one beside it in `DARK`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

INK, SOFT, GRID, GROUND = "#1b262e", "#5b6872", "#e4e9ed", "#ffffff"
FRONT, OTHER, DENSE, LIMIT, BEST, FINISHED = "#0072b2", "#aab4bc", "#d55e00", "#008561", "#e69f00", "#b0568c"
LINES = (FRONT, BEST, LIMIT, FINISHED, DENSE, "#56b4e9", "#6b7780", "#8a7a00", "#333f8f")
KEPT = [[0.0, "#0b3c5d"], [0.1, "#0f5f92"], [0.3, "#5c9cc9"], [0.6, "#bad6e8"], [1.0, "#f0f4f7"]]
"""The heatmap's scale, from little that is left to all; of small shares it shows more."""

CLOSE_UP, WHOLE_RANGE = "close-up", "whole range"
"""Views of a plot."""

DARK: Mapping[str, str] = {
    INK: "#e3e9ed",
    SOFT: "#9aa7b1",
    GRID: "#2c363e",
    GROUND: "#171e24",
    FRONT: "#5db8f0",
    OTHER: "#5f6c76",
    DENSE: "#f08a4b",
    LIMIT: "#35c79b",
    BEST: "#f6bf45",
    FINISHED: "#e09ac4",
    **dict(zip((color for _, color in KEPT), ("#a8dcfb", "#6cc0f4", "#3d83b0", "#2a5068", "#242d34"), strict=True)),
    "#56b4e9": "#8fd0f7",
    "#6b7780": "#8d99a3",
    "#8a7a00": "#d6c84a",
    "#333f8f": "#9fa8f2",
}
"""Light colour → dark one."""

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


def style(figure: go.Figure) -> None:
    """Give a figure the common look."""
    axis = {
        "gridcolor": GRID,
        "linecolor": GRID,
        "zeroline": False,
        "ticks": "",
        "tickfont": {"color": SOFT, "size": 12},
        "title": {"font": {"color": SOFT, "size": 12}, "standoff": 10},
        "automargin": True,
    }
    figure.update_layout(
        template="none",
        paper_bgcolor=GROUND,
        plot_bgcolor=GROUND,
        margin={"l": 56, "r": 16, "t": 16, "b": 48},
        height=380,
        legend={"orientation": "h", "y": -0.18, "x": 0, "yanchor": "top", "font": {"color": SOFT}, "itemwidth": 30},
        font={"family": FONT, "size": 12, "color": INK},
        hoverlabel={"align": "left", "bgcolor": GROUND, "bordercolor": SOFT, "font": {"color": INK}},
        xaxis=axis,
        yaxis=axis,
    )


def set_views(figure: go.Figure, views: Mapping[str, Mapping[str, Any]]) -> None:
    """Give a figure views that the page offers as buttons, the first one shown.

    Args:
        figure: the plot.
        views: name → ``layout`` (what it updates of the layout) and ``data`` (of each trace, in their order).
    """
    figure.update_layout(meta={"views": views})
    first = next(iter(views.values()))
    figure.update_layout(first.get("layout", {}))
