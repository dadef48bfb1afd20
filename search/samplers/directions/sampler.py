"""The default sampler: allocation rules first, then what the trials teach, at the end the leaders again.

1. Every proposal aims at a budget fraction: the budget itself or, where costs are objectives, a gap of the front
   (`gaps`).
2. The first proposals are plans of the allocation rules: of those for that fraction, the one with the best score before
   fine-tuning or, where such scores would cost too much, with the least error.
3. After that, a Bayesian model of the layers' sensitivities is sampled (`sensitivity`). Candidates for a proposal are
   the knapsack's plan on the sampled errors (Thompson sampling), the rules' plans, and mutations of plans on the front
   (`mutations`). Those with the best acquisition value are scored before fine-tuning, where that is cheap, which
   improves their predictions (`low_fidelity`). The best is proposed. At the budget the acquisition value is the
   predicted value, in a gap the expected hypervolume improvement (`acquisition`).
4. The last trials run the leaders again (`leaders`).

It searches in few, meaningful directions from a strong start: hence its name.
"""

from __future__ import annotations

from functools import cached_property
from typing import final

import numpy as np
from numpy.typing import NDArray

from ....objectives.metrics.fitted_scale import FittedScale
from ....objectives.metrics.registry import SIZE
from ...allocation.knapsack import knapsack
from ...allocation.registry import rule_named
from ...space.arrays import Choices
from ...space.limits import SMALLEST_PART, budget_fractions, limits_at, van_der_corput
from ..history import History
from ..problem import Problem
from ..sampler import Sampler
from ..untried import WithoutRepeats, keys
from .acquisition import expected_hypervolume_improvement
from .gaps import MIDDLE, draw_gap
from .leaders import LeadersAgain
from .low_fidelity import PRIOR_GAIN, LowFidelity
from .mutations import mutated
from .observations import FrontObservations, TrainingSet, training_set
from .prediction import Prediction, predict
from .sensitivity import PosteriorSample, Sensitivity

STARTS = ("uniform", "energy", "evbmf", "knapsack", "bottleneck")
"""The rules whose plans are tried; `exact` and `interpolated` find the knapsack's plan or a worse one, `zero_sum` takes
a pass over data."""

RULE_TRIALS = 4
"""How many of the first proposals are rules' plans where costs are objectives; else one is."""

SCORED_BEFORE = 4
"""How many plans at most are scored before fine-tuning for each that is trained."""

LOW_FIDELITY_SHARE = 0.1
"""What these scores may cost, as a share of a trial; where that is not two of them, none is taken."""

SCORED_SHARED, SHARED_SHARE = 64, 0.5
"""The same two of scores with shared weights, which rank plans nearly as trials do."""

TEMPERATURE = 0.5
"""Of the samples of the posterior."""

AT_BUDGET, WANTING_FRONT = 2, 12
"""One in so many proposals is at the budget where costs are objectives; of those who want the whole front, too."""


ROUNDING = 1e-9
"""Budget fractions are compared with this tolerance."""


def directions() -> Sampler:
    """Return the sampler ``directions``."""
    return LeadersAgain(WithoutRepeats(DirectionsSampler()))


@final
class DirectionsSampler:
    """Rules, then Thompson sampling and acquisition; see the module."""

    def __init__(self) -> None:
        self._search: Search | None = None

    def propose(self, history: History, slot: int, /) -> Choices:
        """Return the choices with the best acquisition value."""
        if self._search is None or self._search.problem is not history.problem:
            self._search = Search(history.problem)
        return self._search.propose(history, slot)


@final
class Search:
    """What the sampler computes once for a study."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.space = problem.space
        self.candidates = problem.space.candidates
        self.scale = FittedScale.of(problem.scale, problem.samples)

    @cached_property
    def model(self) -> Sensitivity:
        """The model of the layers' sensitivities."""
        return Sensitivity(self.candidates)

    @cached_property
    def smallest_value(self) -> float:
        """The value of the smallest network worth a trial before fine-tuning; minus infinity where it has none."""
        choices = knapsack(self.candidates, limits_at(self.space, 0.0)) if self.space.down_to else None
        if choices is None:
            choices = self.candidates.changes[:, :, self.candidates.metrics.index(SIZE)].argmin(1)
        (value,) = self.problem.values([self.problem.score_before_finetuning(self.space.plan(choices))])
        return -np.inf if np.isnan(value) else float(value)

    def propose(self, history: History, slot: int) -> Choices:
        """Return the choices of the next trial."""
        rng = np.random.default_rng(self.problem.seed_of(slot))
        observed = FrontObservations.of(history)
        one_objective, no_trial = not self.problem.costs, not len(observed.values)
        at_budget = one_objective or slot % self._at_budget == 0 or no_trial
        low, high = (0.0, 1.0) if at_budget else draw_gap(self.space, observed, self._reference(observed), rng)
        fraction = 1.0 if at_budget else float(low * (high / low) ** rng.uniform(*MIDDLE))
        if no_trial and not one_objective:  # several workers begin at several fractions
            fraction = SMALLEST_PART ** (van_der_corput(slot) - 1)
        training = training_set(observed, fraction, self.scale)
        starting = slot < (1 if one_objective else RULE_TRIALS) and not self.problem.shares_weights
        sample = self.model.sample(training, rng, 0.0 if starting else TEMPERATURE)

        sources = {"rules": self._rules(fraction)}
        if not starting:
            sources |= {"sample": self._allocated(fraction, sample.weighted_errors)[None]}
            sources |= {"mutations": mutated(self.space, observed, fraction, rng)}
        pool, source = np.vstack(list(sources.values())), np.repeat(list(sources), list(map(len, sources.values())))
        tried = keys(history.tried)
        new = np.array([not keys(choices[None]) & tried for choices in pool])
        pool, source = pool[new], source[new]
        fractions = budget_fractions(self.space, pool)
        inside = (fractions > low) & (fractions < high + ROUNDING)
        if inside.any():
            pool, source = pool[inside], source[inside]
        if not len(pool):
            return self._allocated(fraction, self.model.sample(training, rng).weighted_errors)

        def acquisition(prediction: Prediction, choices: NDArray[np.int64]) -> NDArray[np.float64]:
            return -prediction.mean if at_budget else self._improvement(observed, choices, prediction)

        scored = self._scored_per_trial
        if starting:  # nothing is learnt yet: of the rules' plans those of least error
            errors = self.candidates.penalised_errors[np.arange(pool.shape[1]), pool].sum(1)
            pool = pool[errors.argsort(kind="stable")][: len(pool) if scored == SCORED_BEFORE else max(1, scored)]
        else:
            prediction = predict(sample, training, pool)
            value = acquisition(prediction, pool)
            if scored < 2:
                return pool[np.lexsort((-prediction.mean, value))[-1]]
            # The best rule's plan, and the one on the posterior's sample, are scored whatever is predicted of them.
            always = (source == "sample") | (value == value[source == "rules"].max(initial=-np.inf))
            pool = pool[np.lexsort((prediction.mean, -value, ~always))][:scored]
        if len(pool) == 1:
            return pool[0]
        prediction = self._scored_before(sample, training, pool)
        return pool[np.lexsort((-prediction.mean, acquisition(prediction, pool)))[-1]]

    @property
    def _at_budget(self) -> int:
        """One in how many proposals is at the budget; without one, its place is an end of the front as others are."""
        return AT_BUDGET if self.space.limits and not self.problem.wants_front else WANTING_FRONT

    @cached_property
    def _scored_per_trial(self) -> int:
        """How many plans are scored before fine-tuning for each trial."""
        cost = self.problem.cost_before_finetuning
        shared = self.problem.shares_weights
        most, share = (SCORED_SHARED, SHARED_SHARE) if shared else (SCORED_BEFORE, LOW_FIDELITY_SHARE)
        return most if cost <= 0 else min(most, int(share / cost))

    def _rules(self, fraction: float) -> NDArray[np.int64]:
        """Return the rules' choices ``(N, L)`` at a fraction of the budget, each once."""
        limits = {metric: fraction * limit for metric, limit in limits_at(self.space, 1.0).items()}
        found = [rule_named(rule)(self.candidates, limits) for rule in STARTS]
        known = [choices for choices in found if choices is not None]
        return np.unique(known or [self._allocated(1.0, self.candidates.errors)], axis=0)

    def _allocated(self, fraction: float, errors: NDArray[np.float64]) -> Choices:
        """Return the knapsack's choices on these errors; at the budget where no plan uses so small a fraction."""
        for part in (fraction, 1.0):
            limits = {metric: part * limit for metric, limit in limits_at(self.space, 1.0).items()}
            if (choices := knapsack(self.candidates, limits, errors)) is not None:
                return choices
        raise AssertionError("run has checked that some plan keeps the budget")

    def _scored_before(self, sample: PosteriorSample, training: TrainingSet, pool: NDArray[np.int64]) -> Prediction:
        """Return the prediction for plans ``(N, L)``, their networks scored before fine-tuning."""
        scores = [self.problem.score_before_finetuning(self.space.plan(choices)) for choices in pool]
        before, _ = self.scale.fitted(self.problem.values(scores))
        predicted = sample.predict(pool)
        known = ~np.isnan(training.values_before_finetuning)
        if known.any():
            fitted = sample.predict(training.choices[known])
            link = LowFidelity.fitted(fitted, training.values_before_finetuning[known], training.values[known])
        elif not np.isnan(before).all():
            link = LowFidelity.prior(predicted, before, 1.0 if self.problem.shares_weights else PRIOR_GAIN)
        else:
            return predict(sample, training, pool)
        prediction = predict(sample, training, pool, link)
        mean = prediction.mean + link.correction(predicted, before)
        return Prediction(np.where(np.isnan(before), np.inf, mean), prediction.std)

    def _reference(self, observed: FrontObservations) -> float:
        """Return the reference point's value: the largest of all trials and of the smallest network."""
        return max(observed.values.max(), self.smallest_value)

    def _improvement(
        self, observed: FrontObservations, choices: NDArray[np.int64], prediction: Prediction
    ) -> NDArray[np.float64]:
        """Return the expected hypervolume improvement of plans ``(N, L)``."""
        front = observed.fractions[observed.front], observed.values[observed.front]
        fractions = budget_fractions(self.space, choices)
        mean, std = self.scale.values(prediction.mean, prediction.std)
        return expected_hypervolume_improvement(front, self._reference(observed), fractions, mean, std)
