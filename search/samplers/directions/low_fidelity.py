"""The score before fine-tuning as a low fidelity of the score after it.

The correlation differs between models, so it is learnt from the study's trials, each of which is scored before and
after fine-tuning. There are two least-squares fits. The first predicts the score before fine-tuning from the model's
prediction of the score after it. The second says which share of its residual remains after fine-tuning (a linear link
between fidelities, as in Kennedy & O'Hagan, Biometrika 2000). In each fit, the prior counts as one observation, at one
standard deviation of the scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...space.arrays import Array

PRIOR_SLOPE = 1.0
"""By the prior, scores before fine-tuning differ as much as those after it."""

PRIOR_GAIN = 0.5
"""By the prior, half of a residual remains; tuned on all models of ``benchmarks/search.py``."""


@dataclass(frozen=True)
class LowFidelity:
    """``before ≈ level + slope · predicted``, and ``gain`` of the residual is added to the prediction.

    All values are on the fitted scale, less is better.
    """

    level: float
    slope: float
    gain: float

    @classmethod
    def fitted(cls, predicted: Array, before: Array, values: Array) -> LowFidelity:
        """Learn from trials, all ``(N,)``, N > 0: what was predicted, and the values before and after fine-tuning."""
        unit = float(values.var()) or 1.0
        mean, mean_before = predicted.mean(), before.mean()
        centred = predicted - mean
        slope = float((centred @ (before - mean_before) + PRIOR_SLOPE * unit) / (centred @ centred + unit))
        level = float(mean_before - slope * mean)
        residuals = before - level - slope * predicted
        gain = float((residuals @ (values - predicted) + PRIOR_GAIN * unit) / (residuals @ residuals + unit))
        return cls(level, slope, gain)

    @classmethod
    def prior(cls, predicted: Array, before: Array, gain: float = PRIOR_GAIN) -> LowFidelity:
        """Return the prior, its level that of plans without a trial ``(N,)``; NaN in ``before`` are passed over."""
        return cls(float(np.nanmean(before - PRIOR_SLOPE * predicted)), PRIOR_SLOPE, gain)

    def correction(self, predicted: Array, before: Array) -> Array:
        """Return what to add to the predictions ``(N,)``, given the values before fine-tuning ``(N,)``."""
        return self.gain * (before - self.level - self.slope * predicted)
