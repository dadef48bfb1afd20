"""The scale that scores are fitted on: accuracies as log odds, other scores as they are.

Where accuracies are high, half as many mistakes are about the same step everywhere on this scale, and no prediction
leaves (0, 1). With ``n`` samples an accuracy ``a`` is taken as ``p = (n a + ½) / (n + 1)``, which is never 0 or 1. The
standard error of its log odds is ``1 / sqrt(n p (1 - p))``, from the binomial distribution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scale:
    """The way between scores and the values that are fitted."""

    samples: int
    """The size of the validation split where the score is an accuracy; else 0."""

    def values(self, scores: Array) -> tuple[Array, Array]:
        """Return the values that are fitted, and their standard errors, both ``(N,)``."""
        n = self.samples
        if not n:
            return scores, np.zeros(len(scores))
        shares = (n * scores + 0.5) / (n + 1)
        return np.log(shares / (1 - shares)), 1 / np.sqrt(n * shares * (1 - shares))

    def scores(self, mean: Array, std: float) -> tuple[Array, Array]:
        """Return the scores and their standard deviations, both ``(N,)``, of predicted values: mean ``(N,)``, std.

        For accuracies the standard deviation is carried over to first order.
        """
        scores, deviations = mean, np.full(len(mean), std)
        if n := self.samples:
            shares = 1 / (1 + np.exp(-scores))
            scores = ((shares * (n + 1) - 0.5) / n).clip(0, 1)
            deviations *= shares * (1 - shares)
        return scores, deviations
