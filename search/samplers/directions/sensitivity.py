"""How much each layer's error matters after fine-tuning: a Bayesian model learnt from the study's trials.

A value (a score, minimised) rises with the logarithm of the summed weighted errors of a plan's layers,

    value ≈ b + exp(β) · log Σ_l exp(θ_l + κ_kind) · (e_l^p + w · n_l),        θ = F c + δ,

with ``e_l`` the relative output errors and ``n_l`` the bottleneck penalties (see `Candidates`): fine-tuning reduces
errors, but a bottleneck passes no more dimensions than its width. ``F`` are a few features of the layers (see
`features`), ``κ`` the weight of each kind, and ``δ`` small offsets of single layers. With ``p = 1`` errors add up as in
the knapsack; with a large ``p`` only the worst layer counts, as with energy thresholds.

All parameters have Gaussian priors. By the prior's mean all layers have the same weight (c = δ = κ = 0); its p and w
are those that best predicted the order of some hundred plans of about equal cost on all models of
``benchmarks/search.py``.

`Sensitivity.sample` draws from the posterior by randomised maximum a posteriori: the fit to perturbed values around a
perturbed prior mean (Oliver, He & Reynolds, 1996; Bardsley et al., SIAM J. Sci. Comput. 2014). A knapsack on its
weighted errors is Thompson sampling. The perturbations are multiplied by a temperature: 0 gives the most likely
parameters, 1 the posterior.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from ....objectives.kinds.error import FLOOR
from ...space.arrays import Array
from ...space.candidates import BOTTLENECK_WEIGHT, Candidates
from .features import layer_features
from .observations import TrainingSet

STEPS = 12
"""Steps of Levenberg-Marquardt; limits the time of a proposal."""

LEAST_SUM = 1e-9
"""Smaller sums of weighted errors are taken for this one, so that the dense plan has a logarithm."""

POWER = 1.2
"""The prior's mean of p; that of w is `BOTTLENECK_WEIGHT`."""

KIND_STD, OFFSET_STD, POWER_STD, BOTTLENECK_STD = 0.3, 0.3, 0.4, 1.0
"""Standard deviations of the prior of κ, δ, log p and log w; tuned on all models of ``benchmarks/search.py``."""

LEVEL_STD, SLOPE_STD = 1.0, 1.0
"""Those of b and β, in units of the values' own standard deviation."""

MODEL_ERROR = 0.2
"""The standard deviation of the model's own error, in standard deviations of the values it is fitted to."""

GLOBAL = 4
"""The parameters begin with four that all layers share: b, β, log p, log w."""


@dataclass(frozen=True)
class PosteriorSample:
    """One sample of the model: the weighted error of every option ``(L, K)``, and the line from log sums to values."""

    weighted_errors: Array
    level: float
    slope: float

    def predict(self, choices: NDArray[np.int64]) -> Array:
        """Return the values ``(N,)``, on the fitted scale, of plans ``(N, L)`` by this sample."""
        sums = np.take_along_axis(self.weighted_errors[None], choices[:, :, None], 2)[..., 0].sum(1)
        return self.level + self.slope * np.log(np.maximum(sums, LEAST_SUM))


class Sensitivity:
    """The model for one set of candidates, of ``P`` parameters."""

    def __init__(self, candidates: Candidates) -> None:
        self.candidates = candidates
        features, feature_std = layer_features(candidates)
        self._kinds = sorted({option.kind for options in candidates.options for option in options})
        layers = len(candidates.names)
        self._directions = np.column_stack([features, np.eye(layers)])
        shared = [LEVEL_STD, SLOPE_STD, POWER_STD, BOTTLENECK_STD]
        self._prior_mean = np.array([0.0, 0.0, np.log(POWER), np.log(BOTTLENECK_WEIGHT)])
        """Of the shared parameters; that of all others is 0."""
        self._prior_std = np.concatenate(
            [shared, feature_std, np.full(layers, OFFSET_STD), np.full(len(self._kinds), KIND_STD)]
        )

    @cached_property
    def _kind_of(self) -> NDArray[np.int64]:
        """(L, K): the number of each option's kind."""
        numbers = np.zeros(self.candidates.errors.shape, np.int64)
        for row, options in zip(numbers, self.candidates.options, strict=True):
            row[: len(options)] = [self._kinds.index(option.kind) for option in options]
        return numbers

    @cached_property
    def _log_errors(self) -> Array:
        """(L, K): logarithms of the errors; ``-inf`` where there is none."""
        errors = self.candidates.errors
        with np.errstate(divide="ignore"):
            return np.log(np.where(errors <= FLOOR, 0.0, errors))

    def sample(self, training: TrainingSet, rng: np.random.Generator, temperature: float = 1.0) -> PosteriorSample:
        """Return a sample of the posterior; without any trial, of the prior."""
        noise = rng.standard_normal(len(self._prior_std))
        noise[0] = -noise[0]  # so that studies that were begun when scores were maximised go on as they would have
        prior = temperature * self._prior_std * noise
        prior[:GLOBAL] += self._prior_mean
        values, choices = training.values, training.choices
        centre = float(values.mean()) if len(values) else 0.0
        unit = float(values.std()) if len(values) > 1 else 0.0
        theta = prior
        if unit > 0:
            sigma = np.hypot(training.errors / unit, MODEL_ERROR) * np.sqrt(1 + training.distances**2)
            perturbed = (values - centre) / unit - temperature * sigma * rng.standard_normal(len(values))
            theta = self._fitted(prior, choices, perturbed, sigma)
        slope = float(np.exp(theta[1]))
        level = centre + unit * (float(theta[0]) - slope * self._mean_log_sum(choices))
        return PosteriorSample(self._weighted_errors(theta), level, unit * slope)

    def _fitted(self, prior: Array, choices: NDArray[np.int64], standardised: Array, sigma: Array) -> Array:
        """Minimise the squared residuals and the squared distance to ``prior``, both in standard deviations."""
        origin = self._mean_log_sum(choices)

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
        layers = np.arange(choices.shape[1])
        logs, kinds = self._log_errors[layers, choices], self._kind_of[layers, choices]
        terms = self._weighted_errors(theta)[layers, choices]
        sums = np.maximum(terms.sum(1), LEAST_SUM)
        shares = terms / sums[:, None]
        slope, log_sums = float(np.exp(theta[1])), np.log(sums) - origin
        penalties = np.exp(theta[3]) * self.candidates.bottleneck_penalties[layers, choices]
        unweighted = np.exp(np.exp(theta[2]) * logs) + penalties
        penalty_shares = shares * penalties / np.where(unweighted > 0, unweighted, 1.0)
        by_power = np.exp(theta[2]) * ((shares - penalty_shares) * np.where(np.isfinite(logs), logs, 0.0)).sum(1)
        by_kind = np.stack([(shares * (kinds == kind)).sum(1) for kind in range(len(self._kinds))], 1)
        inner = np.column_stack([by_power, penalty_shares.sum(1), shares @ self._directions, by_kind])
        jacobian = np.column_stack([np.ones(len(choices)), slope * log_sums, slope * inner])
        return theta[0] + slope * log_sums, jacobian

    def _weighted_errors(self, theta: Array) -> Array:
        """Return the weighted error of every option, ``(L, K)``; that of padding is infinite."""
        width = self._directions.shape[1]
        of_layers, of_kinds = self._directions @ theta[GLOBAL : GLOBAL + width], theta[GLOBAL + width :]
        with np.errstate(invalid="ignore"):
            powers = np.exp(np.exp(theta[2]) * self._log_errors)
            unweighted = powers + np.exp(theta[3]) * self.candidates.bottleneck_penalties
        weights = np.exp(of_layers[:, None] + of_kinds[self._kind_of])
        return np.where(np.isfinite(self.candidates.errors), unweighted * weights, np.inf)

    def _mean_log_sum(self, choices: NDArray[np.int64]) -> float:
        """Return the mean logarithm of the summed unweighted errors, the origin of the line; 0 without any trial."""
        if not len(choices):
            return 0.0
        sums = self.candidates.errors[np.arange(choices.shape[1]), choices].sum(1)
        return float(np.log(np.maximum(sums, LEAST_SUM)).mean())
