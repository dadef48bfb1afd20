"""Predictions: the model's values, corrected near the trials that it predicts wrongly.

    mean(x) = f(x) + Σ_n k(x, x_n) · residual_n / (Σ_n k(x, x_n) + ½)

with ``f`` a sample of the model (`sensitivity`) and ``k`` a Gaussian kernel on the plans' errors and on their costs: a
kernel regression of the residuals (Nadaraya 1964, Watson 1964) that goes to 0 far from all trials.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...space.arrays import Array
from ...space.limits import budget_fractions
from ...space.space import Space
from .low_fidelity import LowFidelity
from .observations import TrainingSet
from .sensitivity import PosteriorSample

BANDWIDTH = 0.25
"""Of the kernel: a relative difference of errors, and of costs; tuned on ``truth``, ``digits`` and ``mnist-mlp``."""

SHRINKAGE = 0.5
"""Added to the kernel's sum, so that corrections go to 0 where no trial is near."""


LEAST_ERROR = 1e-12
"""Errors are compared relative to at least this sum, so that the dense plan is comparable."""


@dataclass(frozen=True)
class Prediction:
    """The predicted values of plans: ``mean (N,)``, less is better, and one standard deviation for all.

    Both are on the fitted scale.
    """

    mean: Array
    std: float


def predict(
    space: Space,
    sample: PosteriorSample,
    training: TrainingSet,
    choices: NDArray[np.int64],
    low_fidelity: LowFidelity | None = None,
) -> Prediction:
    """Return the prediction for plans ``(N, L)``.

    Residuals are taken after the correction of ``low_fidelity``, where it is given.
    """
    mean = sample.predict(choices)
    if not len(training.values):
        return Prediction(mean, 0.0)
    fitted = sample.predict(training.choices)
    residuals = training.values - fitted
    if low_fidelity is not None:
        residuals -= np.nan_to_num(low_fidelity.correction(fitted, training.values_before_finetuning))
    layers = np.arange(choices.shape[1])
    errors = space.candidates.errors[layers, choices]
    known = space.candidates.errors[layers, training.choices]
    apart = np.abs(errors[:, None] - known[None]).sum(2) / errors.sum(1)[:, None].clip(LEAST_ERROR)
    cost = np.log(budget_fractions(space, choices)[:, None] / budget_fractions(space, training.choices)[None])
    kernel = np.exp(-0.5 * ((apart / BANDWIDTH) ** 2 + (cost / BANDWIDTH) ** 2))
    std = float(np.sqrt(np.average(residuals**2, weights=1 / (1 + training.distances**2))))
    return Prediction(mean + kernel @ residuals / (kernel.sum(1) + SHRINKAGE), std)
