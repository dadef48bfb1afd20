"""Predictions: a sample of the model (`sensitivity`), with the spread of what it misses of the trials."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...space.arrays import Array
from .low_fidelity import LowFidelity
from .observations import TrainingSet
from .sensitivity import PosteriorSample


@dataclass(frozen=True)
class Prediction:
    """The predicted values of plans: ``mean (N,)``, less is better, and one standard deviation for all.

    Both are on the fitted scale.
    """

    mean: Array
    std: float


def predict(
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
    return Prediction(mean, float(np.sqrt(np.average(residuals**2, weights=1 / (1 + training.distances**2)))))
