"""Any Optuna sampler, with every proposal fitted to the budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from ...objectives.plan import Plan
from .problem import Problem
from .proposer import Proposer


@final
class FittedSampler(Proposer):
    """Asks another sampler for all parameters, then scales an over-budget proposal's ranks down.

    The usual repair of constrained search: what is stored is what was evaluated, so the other sampler
    learns from the repaired points. It is made anew, with its slot's seed, for every proposal.
    """

    def __init__(self, make: Callable[[int], BaseSampler], problem: Problem) -> None:
        super().__init__(problem)
        self.make = make

    def propose(self, study: Study, trial: FrozenTrial, slot: int, seed: int) -> Plan:
        """Return the other sampler's proposal, fitted."""
        inner = self.make(seed)
        proposal = inner.sample_relative(study, trial, inner.infer_relative_search_space(study, trial))
        for name, distribution in self.space.distributions.items():
            if name not in proposal:
                proposal[name] = inner.sample_independent(study, trial, name, distribution)
        return self.space.plan(self.space.fitted(proposal))
