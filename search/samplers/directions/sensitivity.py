"""How much each layer's error costs after fine-tuning, learnt from the study's trials.

The model: a score falls with the logarithm of the summed error,

    score ≈ b - exp(β) · log Σ_l exp(θ_l + κ_kind) · (e_l^p + w · n_l),        θ = F c + δ,

over the plan's relative output errors ``e_l`` and narrownesses ``n_l = 1/width² - 1/dense width²``: fine-tuning mends
errors, but gets no more dimensions through a bottleneck than it is wide. ``F`` are a few features of the layers
(depth, its square, size, being first, being last, the role that its name's end tells), ``κ`` what each kind is worth,
``δ`` small offsets of single layers; ``p = 1`` sums errors as the knapsack does, a large ``p`` minds the worst layer
alone, as energy thresholds do. All have Gaussian priors, in the middle layers that count alike (c = δ = κ = 0), and the
p and w that told apart best, on all models of `benchmarks/search.py`, some hundred plans of about equal cost.

`draw` takes one sample of the posterior by randomised maximum a posteriori (perturbed scores, perturbed prior means,
Oliver, He & Reynolds, 1996; Bardsley et al., SIAM J. Sci. Comput. 2014). A knapsack on its errors is Thompson sampling:
what is uncertain is tried, what is known is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from ...space.candidates import NARROW, Candidates

Array = NDArray[np.float64]

STEPS = 12
"""Of Levenberg-Marquardt; more change little."""

LEAST = 1e-9
"""Relative errors below this one are none."""

POWER = 1.2
"""The prior's middle of p; that of w is the rule `bottleneck`'s."""

PRIORS = {"direction": 1.0, "role": 0.5, "kind": 0.3, "offset": 0.3, "power": 0.4, "weight": 1.0}
"""Standard deviations of the prior, in logarithms of an error's worth."""

MISFIT = 0.2
"""What the model itself is wrong by, in standard deviations of the scores it is given."""


@dataclass(frozen=True)
class Seen:
    """Trials to learn from: ``picks (N, L)``, ``scores (N,)``, their standard errors and how far off they lie (N,)."""

    picks: NDArray[np.int64]
    scores: Array
    errors: Array
    distances: Array
    untrained: Array
    """(N,): their scores before fine-tuning."""


@dataclass(frozen=True)
class Draw:
    """One belief: what every choice's error is worth ``(L, K)``, and the line from log sums to scores."""

    worth: Array
    level: float
    slope: float

    def expected(self, picks: NDArray[np.int64]) -> Array:
        """Return the scores (N,) that plans ``(N, L)`` are expected to reach."""
        sums = np.take_along_axis(self.worth[None], picks[:, :, None], 2)[..., 0].sum(1)
        return self.level - self.slope * np.log(np.maximum(sums, LEAST))


class Sensitivity:
    """The model for one set of candidates."""

    def __init__(self, candidates: Candidates) -> None:
        self.candidates = candidates
        features, spread = _features(candidates)
        self._kinds = sorted({choice.kind for choices in candidates.choices for choice in choices})
        layers = len(candidates.names)
        self._directions = np.column_stack([features, np.eye(layers)])
        kinds = np.full(len(self._kinds), PRIORS["kind"])
        # The slope's and the level's are in units of the scores' own spread.
        own = [1.0, 1.0, PRIORS["power"], PRIORS["weight"]]
        self._middle = np.array([0.0, 0.0, np.log(POWER), np.log(NARROW)])
        self._spread = np.concatenate([own, spread, np.full(layers, PRIORS["offset"]), kinds])

    @cached_property
    def _kind_of(self) -> NDArray[np.int64]:
        """(L, K): which kind every choice is of."""
        known = np.zeros(self.candidates.errors.shape, np.int64)
        for row, choices in zip(known, self.candidates.choices, strict=True):
            row[: len(choices)] = [self._kinds.index(choice.kind) for choice in choices]
        return known

    @cached_property
    def _logs(self) -> Array:
        """(L, K): logarithms of the errors; of none at all ``-inf``."""
        errors = self.candidates.errors
        with np.errstate(divide="ignore"):
            return np.log(np.where(errors < LEAST, 0.0, errors))

    def draw(self, seen: Seen, rng: np.random.Generator, scale: float = 1.0) -> Draw:
        """Return a sample of what the trials seen leave open, at ``scale`` 0 what is likeliest.

        With no trials at all it is a sample of the prior.
        """
        prior = scale * self._spread * rng.standard_normal(len(self._spread))
        prior[:4] += self._middle
        centre = float(seen.scores.mean()) if len(seen.scores) else 0.0
        unit = float(seen.scores.std()) if len(seen.scores) > 1 else 0.0
        theta = prior
        if unit > 0:
            sigma = np.hypot(seen.errors / unit, MISFIT) * np.sqrt(1 + seen.distances**2)
            wanted = (seen.scores - centre) / unit + scale * sigma * rng.standard_normal(len(seen.scores))
            theta = self._fitted(prior, seen.picks, wanted, sigma)
        worth = self._worth(theta)
        rise = float(np.exp(theta[1]))
        return Draw(worth, centre + unit * (float(theta[0]) + rise * self._centre(seen.picks)), unit * rise)

    def _fitted(self, prior: Array, picks: NDArray[np.int64], wanted: Array, sigma: Array) -> Array:
        """Minimise the squared misfit and the squared distance to ``prior``, both in standard deviations."""
        middle = self._centre(picks)

        def misses(moved: Array) -> Array:
            guess, _ = self._guess(prior + self._spread * moved, picks, middle)
            return np.concatenate([(guess - wanted) / sigma, moved])

        def derivatives(moved: Array) -> Array:
            _, jacobian = self._guess(prior + self._spread * moved, picks, middle)
            return np.vstack([jacobian * (self._spread / sigma[:, None]), np.eye(len(moved))])

        start = np.zeros(len(prior))
        return prior + self._spread * least_squares(misses, start, jac=derivatives, method="lm", max_nfev=STEPS).x  # pyright: ignore[reportArgumentType]

    def _guess(self, theta: Array, picks: NDArray[np.int64], middle: float) -> tuple[Array, Array]:
        """Return the standardised scores (N,) that ``theta`` expects, and their derivatives (N, P)."""
        rows = np.arange(picks.shape[1])
        logs, kinds = self._logs[rows, picks], self._kind_of[rows, picks]
        terms = self._worth(theta)[rows, picks]
        sums = np.maximum(terms.sum(1), LEAST)
        shares = terms / sums[:, None]
        rise, at = float(np.exp(theta[1])), np.log(sums) - middle
        narrow = np.exp(theta[3]) * self.candidates.narrowness[rows, picks]
        whole = np.exp(np.exp(theta[2]) * logs) + narrow
        narrow_shares = shares * narrow / np.where(whole > 0, whole, 1.0)
        powered = np.exp(theta[2]) * ((shares - narrow_shares) * np.where(np.isfinite(logs), logs, 0.0)).sum(1)
        of_kind = np.stack([(shares * (kinds == kind)).sum(1) for kind in range(len(self._kinds))], 1)
        inner = np.column_stack([powered, narrow_shares.sum(1), shares @ self._directions, of_kind])
        return theta[0] - rise * at, np.column_stack([np.ones(len(picks)), -rise * at, -rise * inner])

    def _worth(self, theta: Array) -> Array:
        """Return what every choice's error is worth, (L, K); padding is infinite."""
        width = self._directions.shape[1]
        layers, kinds = self._directions @ theta[4 : 4 + width], theta[4 + width :]
        with np.errstate(invalid="ignore"):
            harm = np.exp(np.exp(theta[2]) * self._logs) + np.exp(theta[3]) * self.candidates.narrowness
        return np.where(
            np.isfinite(self.candidates.errors), harm * np.exp(layers[:, None] + kinds[self._kind_of]), np.inf
        )

    def _centre(self, picks: NDArray[np.int64]) -> float:
        """Return the mean log sum of plain errors, about which the line is fitted."""
        if not len(picks):
            return 0.0
        sums = self.candidates.errors[np.arange(picks.shape[1]), picks].sum(1)
        return float(np.log(np.maximum(sums, LEAST)).mean())


def _features(candidates: Candidates) -> tuple[Array, Array]:
    """Return each layer's features (L, F), scaled to about ±1, and the prior's standard deviations (F,)."""
    layers = [candidates.costs.layers[name] for name in candidates.names]
    depth = np.linspace(-1, 1, len(layers)) if len(layers) > 1 else np.zeros(1)
    size = np.log([layer.params for layer in layers])
    size = (size - size.mean()) / (np.abs(size - size.mean()).max() or 1.0)
    first, last = np.eye(len(layers))[0], np.eye(len(layers))[-1]
    ends = [name.rpartition(".")[2] for name in candidates.names]
    roles = sorted({end for end in ends if not end.isdecimal() and 1 < ends.count(end) < len(ends)})
    directions = [depth, depth**2 - 0.5, size, first, last]
    positions = [np.array([float(end == role) for end in ends]) for role in roles]
    spread = [PRIORS["direction"]] * len(directions) + [PRIORS["role"]] * len(positions)
    return np.column_stack(directions + positions), np.array(spread)
