"""The score before fine-tuning as a low fidelity: what it foretells of the score after.

How much it foretells differs (much on convolutional networks, nothing on some perceptrons), so it is learnt from the
study's trials, each of which is scored before and after: first what is expected of the untrained score where a certain
final one is expected, then what it is worth in the end to be better than that (a linear link between fidelities, as in
Kennedy & O'Hagan, Biometrika 2000). Both are least squares with one more observation of the prior's, as far out as the
scores spread.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SLOPE, GAIN = 1.0, 0.5
"""The prior's: untrained scores fall as final ones do, and half of what they are better by stays."""


@dataclass(frozen=True)
class LowFidelity:
    """``untrained ≈ level + slope · expected``, and ``gain`` of what it is better than that."""

    level: float
    slope: float
    gain: float

    @classmethod
    def of(cls, expected: Array, untrained: Array, scores: Array) -> LowFidelity:
        """Learn from trials, all (N,), N > 0: what was expected of them, and what they scored before and after."""
        unit = float(scores.var()) or 1.0
        mean, before = expected.mean(), untrained.mean()
        apart = expected - mean
        slope = float((apart @ (untrained - before) + SLOPE * unit) / (apart @ apart + unit))
        level = float(before - slope * mean)
        better = untrained - level - slope * expected
        gain = float((better @ (scores - expected) + GAIN * unit) / (better @ better + unit))
        return cls(level, slope, gain)

    @classmethod
    def new(cls, expected: Array, untrained: Array) -> LowFidelity:
        """Return the prior, its level that of plans not yet run: NaN of ``untrained`` are passed over."""
        return cls(float(np.nanmean(untrained - SLOPE * expected)), SLOPE, GAIN)

    def beyond(self, expected: Array, untrained: Array) -> Array:
        """Return by how much more than ``expected`` the final scores will be, (N,)."""
        return self.gain * (untrained - self.level - self.slope * expected)
