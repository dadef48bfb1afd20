"""Part of a plot of score against cost as places on a drawing surface, where no plotly is: a notebook, a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from .ranges import decisive
from .score import Point, ScorePlot


@dataclass(frozen=True)
class Window:
    """Where decisions are made in a plot (see `decisive`), with the axes' ticks; places are from 0 to 1."""

    low: float
    high: float
    """Exponents of ten of the cost, in percent of the dense model's."""
    bottom: float
    top: float
    """Scores as the axis has them, such as percents."""
    factor: float
    """What a score is multiplied by on the axis."""
    across: list[tuple[float, str]]
    """The cost's ticks: place and text."""

    @classmethod
    def of(cls, data: ScorePlot) -> Window:
        """Return the window of a plot."""
        layout = decisive(data)
        (low, high), (bottom, top) = layout["xaxis"]["range"], layout["yaxis"]["range"]
        ticks = zip(layout["xaxis"]["tickvals"], layout["xaxis"]["ticktext"], strict=True)
        across = [((math.log10(value) - low) / (high - low), text) for value, text in ticks]
        return cls(low, high, bottom, top, data.scale.axis[0], across)

    def right_of(self, share: float) -> float:
        """Return how far to the right a cost lies, in percent of the dense model's; minus infinity for none."""
        return (math.log10(share) - self.low) / (self.high - self.low) if share > 0 else -math.inf

    def above(self, score: float) -> float:
        """Return how far up a score lies."""
        return (self.factor * score - self.bottom) / (self.top - self.bottom)

    def inside(self, points: Iterable[Point]) -> list[tuple[float, float, Point]]:
        """Return the points that are seen, each after its place: from the left, from below."""
        placed = [(self.right_of(point.share), self.above(point.score), point) for point in points]
        return [(x, y, point) for x, y, point in placed if 0 <= x <= 1 and 0 <= y <= 1]

    @property
    def up(self) -> list[tuple[float, str]]:
        """The score's ticks: place and text, at steps of 1, 2 or 5 times a power of ten."""
        span = self.top - self.bottom
        step = next(s for e in range(-12, 13) for s in (10.0**e, 2 * 10.0**e, 5 * 10.0**e) if span / s <= 6)
        values = [step * n for n in range(math.ceil(self.bottom / step), math.floor(self.top / step) + 1)]
        return [((value - self.bottom) / span, f"{value:.6g}") for value in values]
