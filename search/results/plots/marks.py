"""What several plots mark alike: the best trial, finished models, and a value that a whole axis is compared with."""

from __future__ import annotations

import math
from typing import Literal

import plotly.graph_objects as go

from .style import BEST, DENSE, FINISHED, INK

BEST_MARK = {"color": BEST, "size": 13, "symbol": "diamond", "line": {"color": INK, "width": 1}}
FINISHED_MARK = {"color": FINISHED, "size": 17, "symbol": "triangle-up-open", "line": {"color": FINISHED, "width": 2}}
DENSE_MARK = {"color": DENSE, "size": 12, "symbol": "star"}


def mark(
    figure: go.Figure, axis: Literal["x", "y"], value: float, text: str, color: str, *, upper: bool = False
) -> None:
    """Draw a dotted line at a value of an axis, with words beside it; a horizontal axis is logarithmic.

    Args:
        figure: the plot.
        axis: the axis.
        value: where on it.
        text: what it is.
        color: of line and words.
        upper: whether words beside a vertical line stand at its upper end.
    """
    line = {"color": color, "dash": "dot", "width": 1.5}
    font = {"color": color, "size": 12}
    if axis == "y":
        figure.add_hline(y=value, line=line)
        figure.add_annotation(
            x=0, xref="paper", xanchor="left", xshift=4, y=value, yref="y", yanchor="bottom", text=text,
            showarrow=False, font=font,
        )  # fmt: skip
        return
    figure.add_vline(x=value, line=line)
    # On a logarithmic axis an annotation's place is the exponent.
    figure.add_annotation(
        x=math.log10(value), xref="x", xanchor="right", xshift=-4, y=0.98 if upper else 0.02, yref="paper",
        yanchor="top" if upper else "bottom", text=text,
        showarrow=False, font=font,
    )  # fmt: skip
