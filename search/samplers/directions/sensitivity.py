"""How much the layers' errors matter after fine-tuning: a Bayesian model learnt from the study's trials.

A value (a score, minimised) rises with the logarithm of the summed weighted errors of a plan's layers,

    value ≈ b + exp(β) · log Σ_l exp(F_l c) · e_l,

with ``e_l`` the errors that the rule `bottleneck` adds up, and ``F`` a few features of the layers (see `features`). All
parameters have Gaussian priors; by their means all layers have the same weight (c = 0), as in the rule.

`Sensitivity.sample` draws from the posterior by randomised maximum a posteriori: the fit to perturbed values around a
perturbed prior mean (Oliver, He & Reynolds, 1996; Bardsley et al., SIAM J. Sci. Comput. 2014). A knapsack on its
weighted errors is Thompson sampling. The perturbations are multiplied by a temperature: 0 gives the most likely
parameters, 1 the posterior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from ...space.arrays import Array
from ...space.candidates import Candidates
from .features import layer_features
from .observations import TrainingSet

STEPS = 12
"""Steps of Levenberg-Marquardt; limits the time of a proposal."""

LEAST_SUM = 1e-9
"""Smaller sums of weighted errors are taken for this one, so that the dense plan has a logarithm."""

LEVEL_STD, SLOPE_STD, FEATURE_STD = 1.0, 1.0, 1.0
"""Standard deviations of the prior of b and β, in units of the values' own, and of c."""

MODEL_ERROR = 0.2
"""The standard deviation of the model's own error, in standard deviations of the values it is fitted to."""


@dataclass(frozen=True)
class PosteriorSample:
    """One sample of the model: the weighted error of every option ``(L, K)``, and the line from log sums to values."""

    weighted_errors: Array
    level: float
    slope: float

    def predict(self, choices: NDArray[np.int64]) -> Array:
        """Return the values ``(N,)``, on the fitted scale, of plans ``(N, L)`` by this sample."""
        return self.level + self.slope * np.log(_sums(self.weighted_errors, choices))


class Sensitivity:
    """The model for one set of candidates, of ``P`` parameters: b, β, c."""

    def __init__(self, candidates: Candidates) -> None:
        self.candidates = candidates
        self._errors = candidates.penalised_errors
        self._features = layer_features(candidates)
        self._prior_std = np.array([LEVEL_STD, SLOPE_STD] + [FEATURE_STD] * self._features.shape[1])

    def sample(self, training: TrainingSet, rng: np.random.Generator, temperature: float = 1.0) -> PosteriorSample:
        """Return a sample of the posterior; without any trial, of the prior."""
        theta = temperature * self._prior_std * rng.standard_normal(len(self._prior_std))
        values, choices = training.values, training.choices
        centre = float(values.mean()) if len(values) else 0.0
        unit = float(values.std()) if len(values) > 1 else 0.0
        origin = float(np.log(_sums(self._errors, choices)).mean()) if len(choices) else 0.0
        if unit > 0:
            sigma = np.hypot(training.errors / unit, MODEL_ERROR) * np.sqrt(1 + training.distances**2)
            perturbed = (values - centre) / unit - temperature * sigma * rng.standard_normal(len(values))
            theta = self._fitted(theta, choices, perturbed, sigma, origin)
        slope = float(np.exp(theta[1]))
        level = centre + unit * (float(theta[0]) - slope * origin)
        return PosteriorSample(self._weighted(theta), level, unit * slope)

    def _weighted(self, theta: Array) -> Array:
        """Return the weighted error of every option, ``(L, K)``."""
        return np.exp(self._features @ theta[2:])[:, None] * self._errors

    def _fitted(
        self, prior: Array, choices: NDArray[np.int64], standardised: Array, sigma: Array, origin: float
    ) -> Array:
        """Minimise the squared residuals and the squared distance to ``prior``, both in standard deviations."""

        def residuals(moved: Array) -> Array:
            predicted, _ = self._predicted(prior + self._prior_std * moved, choices, origin)
            return np.concatenate([(predicted - standardised) / sigma, moved])

        def derivatives(moved: Array) -> Array:
            _, jacobian = self._predicted(prior + self._prior_std * moved, choices, origin)
            return np.vstack([jacobian * (self._prior_std / sigma[:, None]), np.eye(len(moved))])

        start = np.zeros(len(prior))
        found = least_squares(residuals, start, jac=derivatives, method="lm", max_nfev=STEPS)  # pyright: ignore[reportArgumentType]
        return prior + self._prior_std * found.x

    def _predicted(self, theta: Array, choices: NDArray[np.int64], origin: float) -> tuple[Array, Array]:
        """Return the standardised values ``(N,)`` that ``theta`` predicts, and their derivatives ``(N, P)``."""
        terms = self._weighted(theta)[np.arange(choices.shape[1]), choices]
        sums = np.maximum(terms.sum(1), LEAST_SUM)
        slope, log_sums = float(np.exp(theta[1])), np.log(sums) - origin
        of_features = slope * (terms / sums[:, None]) @ self._features
        return theta[0] + slope * log_sums, np.column_stack([np.ones(len(sums)), slope * log_sums, of_features])


def _sums(errors: Array, choices: NDArray[np.int64]) -> Array:
    """Return the summed errors of plans ``(N,)``."""
    return np.maximum(errors[np.arange(choices.shape[1]), choices].sum(1), LEAST_SUM)
