"""The validations of a fine-tune, of which the best alone is kept: an evaluation may hold large sums."""

from __future__ import annotations

import math

from .evaluation import Evaluation
from .measured import Interval
from .scale import Scale


class Validations:
    """Evaluations of one network, one after the other."""

    def __init__(self, scale: Scale) -> None:
        self.first = self.latest = math.nan
        """Scores; NaN before there is one."""
        self._scale = scale
        self._best: Evaluation | None = None

    def add(self, found: Evaluation) -> float:
        """Take the next evaluation; return what is minimised. Of equal ones the last is kept."""
        value = self._scale.minimised(found.score)
        if self._best is None:
            self.first = found.score
        if self._best is None or value <= self._scale.minimised(self._best.score):
            self._best = found
        self.latest = found.score
        return value

    def interval_of(self, score: float) -> Interval | None:
        """Return the best score's interval; None where it has none, or ``score`` is better: of an earlier process."""
        return self._best.interval if self._best is not None and self._best.score == score else None
