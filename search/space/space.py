"""The search space: every layer's choice as an Optuna parameter, and the way from parameters to a plan.

Parameter ``<layer>.choice`` is an integer: the place of (kind, rank) among the layer's choices, from that of
fewest parameters to ``dense``. So the space has no conditional parameters, larger values cost more, and all
of Optuna's samplers, plots and importances can work on it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.study import Study
from optuna.trial import Trial

from ...objectives.plan import Plan
from ..storage.slots import INTERRUPTED
from .candidates import Candidates

Picks = NDArray[np.int64]


@dataclass(frozen=True)
class Space:
    """The choices of every layer, and the limits that a plan must keep."""

    candidates: Candidates
    limits: Mapping[str, float]

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Return parameter name → distribution, the same for every trial of a study."""
        sizes = zip(self.candidates.names, self.candidates.sizes, strict=True)
        return {f"{name}.choice": IntDistribution(1, int(size), log=True) for name, size in sizes}

    def plan(self, params: Mapping[str, int]) -> Plan:
        """Return the plan that a trial's parameters stand for."""
        return self.candidates.plan(self._picks(params))

    def params(self, plan: Plan) -> dict[str, int]:
        """Return the parameters that stand for a plan; the inverse of `plan`."""
        picks = self.candidates.picks(plan)
        return {name: int(pick) + 1 for name, pick in zip(self.distributions, picks, strict=True)}

    def violations(self, plan: Plan) -> dict[str, float]:
        """Return how far each limit is exceeded, as a share of it; 0 or less keeps it."""
        cost = dict(self.candidates.costs.of(plan))
        return {metric: cost[metric] / limit - 1 for metric, limit in self.limits.items()}

    def fits(self, plan: Plan) -> bool:
        """Return whether the plan keeps every limit."""
        return all(violation <= 0 for violation in self.violations(plan).values())

    def fitted(self, params: Mapping[str, int]) -> dict[str, int]:
        """Return ``params``, or where they exceed a limit, all ranks scaled down by one factor until they fit."""
        if self.fits(self.plan(params)):
            return dict(params)
        picks = self._picks(params)
        low, high = 0.0, 1.0
        for _ in range(24):
            middle = (low + high) / 2
            low, high = (middle, high) if self.fits(self._scaled(picks, middle)) else (low, middle)
        return self.params(self._scaled(picks, low))

    def tried(self, study: Study) -> set[tuple[int, ...]]:
        """Return the parameters of all the study's trials, in the order of `distributions`."""
        trials = study.get_trials(deepcopy=False)
        known = (trial.params for trial in trials if not trial.user_attrs.get(INTERRUPTED))
        return {self.values(params) for params in known if len(params) == len(self.distributions)}

    def suggest(self, trial: Trial) -> None:
        """Have all parameters of a trial proposed."""
        for name, size in zip(self.distributions, self.candidates.sizes.tolist(), strict=True):
            trial.suggest_int(name, 1, size, log=True)

    def values(self, params: Mapping[str, int]) -> tuple[int, ...]:
        """Return the values of all parameters, in the order of `distributions`."""
        return self._values(params)

    @cached_property
    def _values(self) -> Callable[[Mapping[str, int]], tuple[int, ...]]:
        first, *more = self.distributions
        return itemgetter(first, *more) if more else lambda params: (params[first],)

    def unlike(self, plan: Plan, tried: Collection[tuple[int, ...]], rng: np.random.Generator) -> Plan:
        """Return ``plan``, or where it was ``tried``, a plan near it that was not and fits.

        Where neither 200 steps away nor 200 plans from anywhere find one (a tiny space, exhausted), the plan itself.
        """
        sizes = self.candidates.sizes
        picks = self.candidates.picks(plan)
        here = plan
        for attempt in range(400):
            if tuple(self.params(here).values()) not in tried and self.fits(here):
                return here
            if attempt < 200:
                reach = 1 + attempt // 20
                step = rng.integers(-reach, reach + 1, len(picks)) * (rng.random(len(picks)) < 0.3)
                here = self.candidates.plan(np.clip(picks + step, 0, sizes - 1))
            else:
                here = self.candidates.plan(rng.integers(0, sizes))
        return plan

    def _picks(self, params: Mapping[str, int]) -> Picks:
        return np.array(self.values(params)) - 1

    def _scaled(self, picks: Picks, factor: float) -> Plan:
        return self.candidates.plan(((picks + 1) * factor).astype(np.int64).clip(1) - 1)
