"""What a score found on a split: its value, and what its confidence interval is computed from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .bootstrap import Blocks, Sums
from .scale import Scale

Interval = tuple[float, float]


@dataclass(frozen=True)
class Measured:
    """A score's value, and what its interval is computed from."""

    value: Any
    """One number; whoever reads it checks that it is."""
    counted: int | None = None
    """How many predictions a proportion was counted on; None: as many as samples."""
    blocks: Blocks | None = field(default=None, repr=False, compare=False)
    """Sums over blocks of samples, where the score is computed from sums."""
    value_of: Callable[[Sums], float] | None = field(default=None, repr=False, compare=False)
    """Returns the score, given the sums over a whole split."""

    def interval(self, scale: Scale, samples: int, confidence: float = 0.95) -> Interval | None:
        """Return the confidence interval; None for a score that has none.

        Of a proportion it is Wilson's, on what was counted (positions of one sample are taken as independent). Of a
        score that is computed from sums it is that of a bootstrap (see `bootstrap`).
        """
        if scale.proportion:
            return scale.interval(float(self.value), samples if self.counted is None else self.counted, confidence)
        if self.blocks is None or self.value_of is None:
            return None
        return self.blocks.interval(self.value_of, confidence)
