"""Where the time of each trial went: seconds by phase, one bar a trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from ....objectives.metrics.amounts import share_shown
from ...storage.trials import Record
from .style import LINES, style

MAX_BARS = 200
"""Of trials: more are put together, a bar of several."""


@dataclass(frozen=True)
class PhasePlot:
    """Seconds by phase: what `draw_phases` draws."""

    trials: list[int]
    """The first of each bar."""
    seconds: dict[str, list[float]]
    """Phase → mean seconds of a trial, for each bar."""
    shares: dict[str, float]
    """Phase → its share of the time of all trials."""
    nth: int
    """So many trials a bar."""


def phase_data(records: Sequence[Record], whole: Mapping[str, float]) -> PhasePlot:
    """Return the seconds by phase of all trials that took any.

    Args:
        records: all trials.
        whole: phase → seconds of all trials, in the order in which bars are stacked.
    """
    timed = [record for record in records if record.phases]
    nth = -(-len(timed) // MAX_BARS) or 1
    parts = [timed[start : start + nth] for start in range(0, len(timed), nth)]
    seconds = {
        phase: [sum(record.phases.get(phase, 0.0) for record in part) / len(part) for part in parts] for phase in whole
    }
    total = sum(whole.values()) or 1.0
    shares = {phase: amount / total for phase, amount in whole.items()}
    return PhasePlot([part[0].trial for part in parts], seconds, shares, nth)


def draw_phases(data: PhasePlot) -> go.Figure:
    """Draw a bar a trial, stacked by phase."""
    figure = go.Figure()
    for (phase, seconds), color in zip(data.seconds.items(), LINES, strict=False):
        figure.add_bar(
            x=data.trials,
            y=seconds,
            name=f"{phase} {share_shown(data.shares[phase], 1)}",
            marker={"color": color},
            hovertemplate=f"trial %{{x}}<br>{phase} %{{y:.2f}} s<extra></extra>",
        )
    style(figure)
    figure.update_layout(height=300, barmode="stack", bargap=0.15)
    figure.update_xaxes(title_text="trial" if data.nth == 1 else f"trial ({data.nth} a bar)")
    figure.update_yaxes(title_text="seconds a trial")
    return figure
