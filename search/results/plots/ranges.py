"""What part of a plot of score against cost is shown: where decisions are made, or all of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .score import Point, ScorePlot

DECISIVE = 0.2
"""Of the span between the worst and the best score of the front, the part from the best down where decisions are."""

NEVER_LESS = 3
"""Points of the front that are shown at least, and spans of the best's interval."""


def decisive(data: ScorePlot) -> dict[str, Any]:
    """Return the axes' ranges in which the front's upper part, the budget and the dense model's score are seen."""
    front = sorted(data.front, key=lambda point: data.scale.minimised(point.score))
    if not front:
        return whole(data)
    minimised = data.scale.minimised
    best, worst = minimised(front[0].score), minimised(front[-1].score)
    reach = best + DECISIVE * (worst - best)
    if data.intervals:
        low, high = data.intervals[data.front.index(front[0])]
        reach = max(reach, best + NEVER_LESS * (high - low) / 2)
    shown = [p for n, p in enumerate(front) if n < NEVER_LESS or minimised(p.score) <= reach]
    points = [*shown, *data.finished, *([] if data.best is None else [data.best])]
    ends = [data.intervals[data.front.index(p)] for p in shown] if data.intervals else []
    scores = [data.dense_score, *(p.score for p in points), *(end for pair in ends for end in pair)]
    return _layout(data, [p.share for p in points], scores)


def whole(data: ScorePlot) -> dict[str, Any]:
    """Return the axes' ranges in which every trial and the dense model are seen."""
    points: list[Point] = [*data.front, *data.others, *data.finished]
    scores = [data.dense_score, *(p.score for p in points), *(end for pair in data.intervals for end in pair)]
    return _layout(data, [*(p.share for p in points), 100.0], scores)


def _layout(data: ScorePlot, shares: Sequence[float], scores: Sequence[float]) -> dict[str, Any]:
    factor, _ = data.scale.axis
    across = [share for share in (*shares, data.limit_share) if share]
    margin = 0.06 * (max(scores) - min(scores) or 1.0)
    low, high = (math.log10(end) for end in (min(across), max(across)))
    beside = 0.05 * (high - low) + 0.02
    return {
        "xaxis": {"range": [low - beside, high + beside], **ticks(10 ** (low - beside), 10 ** (high + beside))},
        "yaxis": {"range": [factor * (min(scores) - margin), factor * (max(scores) + margin)]},
    }


DENSITIES = ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8), tuple(n / 10 for n in range(10, 100, 5)))
"""Which ticks a decade of a logarithmic axis may have."""

MOST_TICKS = 9


def ticks(low: float, high: float) -> dict[str, list[float] | list[str]]:
    """Return the ticks of a logarithmic axis in percent, as many as can be read.

    >>> ticks(0.8, 110)["ticktext"], ticks(5.5, 10)["ticktext"][:3]
    (['1 %', '2 %', '5 %', '10 %', '20 %', '50 %', '100 %'], ['6 %', '8 %', '10 %'])
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = [[m * 10.0**e for e in decades for m in steps if low <= m * 10.0**e <= high] for steps in DENSITIES]
    found = max((steps for steps in every if len(steps) <= MOST_TICKS), key=len, default=every[0])
    return {"tickvals": found, "ticktext": [f"{tick:g} %" for tick in found]}
