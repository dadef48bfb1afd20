"""The scale that values are fitted on: accuracies as log odds, other scores as they are; less is better.

Where accuracies are high, half as many mistakes are about the same step everywhere on this scale, and no prediction
leaves (0, 1). With ``n`` samples an accuracy ``a`` is taken as ``p = (n a + ½) / (n + 1)``, which is never 0 or 1. The
standard error of its log odds is ``1 / sqrt(n p (1 - p))``, from the binomial distribution. As values are minimised,
an accuracy's fitted value is its negative log odds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..problem import Problem

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FittedScale:
    """The way between values (scores, minimised) and fitted values."""

    samples: int
    """The size of the validation split where the score is a proportion of it; else 0."""
    sign: float
    """-1 where higher scores are better, else 1: score = sign · value."""

    @classmethod
    def of(cls, problem: Problem) -> FittedScale:
        """Return that of a problem's score."""
        return cls(problem.samples, problem.scale.minimised(1.0))

    def fitted(self, values: Array) -> tuple[Array, Array]:
        """Return the fitted values and their standard errors, both ``(N,)``."""
        n = self.samples
        if not n:
            return values, np.zeros(len(values))
        shares = (n * self.sign * values + 0.5) / (n + 1)
        return self.sign * np.log(shares / (1 - shares)), 1 / np.sqrt(n * shares * (1 - shares))

    def values(self, mean: Array, std: float) -> tuple[Array, Array]:
        """Return the values and their standard deviations, both ``(N,)``, of predictions: mean ``(N,)``, std.

        For proportions the standard deviation is carried over to first order.
        """
        values, deviations = mean, np.full(len(mean), std)
        if n := self.samples:
            shares = 1 / (1 + np.exp(-self.sign * mean))
            values = self.sign * ((shares * (n + 1) - 0.5) / n).clip(0, 1)
            deviations *= shares * (1 - shares)
        return values, deviations
