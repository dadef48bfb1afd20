"""The search space: the options of every layer, the budget's limits, and the way between three forms of a plan.

- Optuna's parameters: ``<layer>.choice`` is an integer from 1 to the layer's number of options, in ascending order of
  parameters, the last one ``dense``. So the space has no conditional parameters, larger values cost more, and all of
  Optuna's samplers, plots and importances work on it.
- Choices: an int64 array ``(L,)``, the place of each layer's option, from 0. Rules and samplers work on these.
- A `Plan`: what a trial is run with.

Outside `search/space`, nothing else converts between them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter

import numpy as np
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.trial import Trial

from ...objectives.plan import Plan
from .arrays import Choices
from .candidates import Candidates


@dataclass(frozen=True)
class Space:
    """The options of every layer, and the limits that a plan must keep."""

    candidates: Candidates
    limits: Mapping[str, float]
    """Metric → upper bound; metrics that are not known before a network is built are left out."""
    down_to: Mapping[str, float] = field(default_factory=dict)
    """Metric → the smallest amount worth a trial, of the limits that have one."""

    def __post_init__(self) -> None:
        """Keep the limits on the candidates' metrics."""
        known = {metric: limit for metric, limit in self.limits.items() if metric in self.candidates.metrics}
        object.__setattr__(self, "limits", known)

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Parameter name → distribution, the same for every trial of a study."""
        sizes = zip(self.candidates.names, self.candidates.sizes, strict=True)
        return {f"{name}.choice": IntDistribution(1, int(size), log=True) for name, size in sizes}

    def choices(self, params: Mapping[str, int]) -> Choices:
        """Return the choices ``(L,)`` that a trial's parameters stand for."""
        return np.array(self._values(params), np.int64) - 1

    def params(self, choices: Choices) -> dict[str, int]:
        """Return the parameters that stand for choices; the inverse of `choices`."""
        return {name: int(place) + 1 for name, place in zip(self.distributions, choices, strict=True)}

    def plan(self, choices: Choices) -> Plan:
        """Return the plan that choices stand for."""
        return self.candidates.plan(choices)

    def suggest(self, trial: Trial) -> None:
        """Have Optuna suggest all parameters of a trial."""
        for name, size in zip(self.distributions, self.candidates.sizes.tolist(), strict=True):
            trial.suggest_int(name, 1, size, log=True)

    def violations(self, choices: Choices) -> dict[str, float]:
        """Return metric → how far its limit is exceeded, as a share of it; 0 or less keeps it."""
        return self.candidates.violations(choices, self.limits)

    def fits(self, choices: Choices) -> tuple[bool, str]:
        """Return whether choices keep every limit, and which they exceed, by how much."""
        return self.candidates.fits(choices, self.limits)

    @cached_property
    def _values(self) -> Callable[[Mapping[str, int]], tuple[int, ...]]:
        """Look up all parameters at once: studies of thousands of trials read them at every proposal."""
        first, *more = self.distributions
        return itemgetter(first, *more) if more else lambda params: (params[first],)
