"""The observations of a study, by the fraction of the budget that they use, and which of them a model is fitted to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ....objectives.metrics.fitted_scale import FittedScale
from ...space.limits import budget_fractions
from ..history import History

LARGEST_TRAINING_SET = 100
"""How many trials the model is fitted to, the nearest ones; limits the time of a proposal in long studies."""


@dataclass(frozen=True)
class FrontObservations:
    """The complete trials within the budget, ``N`` of them, and the front they make."""

    choices: NDArray[np.int64]
    """(N, L)"""
    values: NDArray[np.float64]
    """(N,): scores, minimised."""
    values_before_finetuning: NDArray[np.float64]
    """(N,): NaN where there was none."""
    fractions: NDArray[np.float64]
    """(N,): of the budget."""

    @classmethod
    def of(cls, history: History) -> FrontObservations:
        """Read a history."""
        known = history.observations
        fractions = budget_fractions(history.problem.space, known.choices)
        return cls(known.choices, known.values, known.values_before_finetuning, fractions)

    @cached_property
    def front(self) -> NDArray[np.int64]:
        """Which trials are on the front of value and budget fraction, from the smallest fraction."""
        order = np.lexsort((self.values, self.fractions))
        best = np.minimum.accumulate(np.concatenate([[np.inf], self.values[order]]))
        return order[self.values[order] < best[:-1]]


@dataclass(frozen=True)
class TrainingSet:
    """``N`` trials that the model is fitted to, for plans near one budget fraction.

    Values are on the fitted scale, less is better.
    """

    choices: NDArray[np.int64]
    """(N, L)"""
    values: NDArray[np.float64]
    """(N,)"""
    errors: NDArray[np.float64]
    """(N,): standard errors of the values."""
    distances: NDArray[np.float64]
    """(N,): how far a trial lies from that budget fraction, in its logarithm; the farther, the less it counts."""
    values_before_finetuning: NDArray[np.float64]
    """(N,): NaN where there was none."""


def training_set(observed: FrontObservations, fraction: float, scale: FittedScale) -> TrainingSet:
    """Return the observations as they count for plans that use ``fraction`` of the budget, the nearest first."""
    values, errors = scale.fitted(observed.values)
    distances = np.abs(np.log(observed.fractions / fraction))
    nearest = np.argsort(distances, kind="stable")[:LARGEST_TRAINING_SET]
    before, _ = scale.fitted(observed.values_before_finetuning)
    return TrainingSet(observed.choices[nearest], values[nearest], errors[nearest], distances[nearest], before[nearest])
