"""How all plots look: colours, margins, fonts."""

from __future__ import annotations

import plotly.graph_objects as go

FRONT, OTHER, DENSE, LIMIT = "#0b6e99", "#a9b4bd", "#d1495b", "#2e7d32"
LINES = (FRONT, "#e08e0b", "#7b4fa3", LIMIT, DENSE)


def style(figure: go.Figure) -> None:
    """Give a figure the common look."""
    figure.update_layout(
        template="plotly_white",
        margin={"l": 60, "r": 20, "t": 36, "b": 50},
        height=420,
        legend={"orientation": "h", "y": -0.2, "x": 0.5, "xanchor": "center", "yanchor": "top"},
        font={"family": "system-ui, sans-serif", "size": 13},
        hoverlabel={"align": "left"},
    )
