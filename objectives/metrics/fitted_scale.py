"""The scale that values are fitted on: proportions as log odds, other scores as they are; less is better.

Halving the error rate is a constant step in log odds, and no prediction leaves (0, 1). With ``n`` samples a proportion
``a`` is taken as ``p = (n a + ½) / (n + 1)``, which is never 0 or 1. The standard error of its log odds is
``1 / sqrt(n p (1 - p))``, from the binomial distribution. Where higher scores are better, a value is a score with its
sign turned, and its fitted value is the negative log odds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .scale import Scale


@dataclass(frozen=True)
class FittedScale:
    """The way between values (scores, minimised) and fitted values."""

    samples: int
    """The size of the split on which a proportion was measured; 0 for any other score."""
    sign: float
    """-1 where higher scores are better, else 1: score = sign · value."""

    @classmethod
    def of(cls, scale: Scale, samples: int) -> FittedScale:
        """Return that of a score; only of a proportion the number of samples counts."""
        return cls(samples if scale.proportion else 0, scale.minimised(1.0))

    def fitted(self, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the fitted values and their standard errors, both ``(N,)``."""
        n = self.samples
        if not n:
            return values, np.zeros(len(values))
        shares = (n * self.sign * values + 0.5) / (n + 1)
        return self.sign * np.log(shares / (1 - shares)), 1 / np.sqrt(n * shares * (1 - shares))

    def values(self, mean: NDArray[np.float64], std: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the values and their standard deviations, both ``(N,)``, of predictions: mean ``(N,)``, std.

        For proportions the standard deviation is carried over to first order.
        """
        values, deviations = mean, np.full(len(mean), std)
        if n := self.samples:
            shares = 1 / (1 + np.exp(-self.sign * mean))
            values = self.sign * ((shares * (n + 1) - 0.5) / n).clip(0, 1)
            deviations *= shares * (1 - shares)
        return values, deviations
