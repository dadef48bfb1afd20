"""What all samplers here have in common: whole plans within the budget, none twice, seeded by their slot."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from ...objectives.plan import Plan
from ..storage.slots import SLOT, next_slot, seed_for
from .problem import Problem


class Proposer(BaseSampler):
    """A sampler that proposes all parameters together, as a plan.

    It keeps nothing between trials: all it knows it reads from the study, so that a resumed study goes on as an
    undisturbed one. A trial is proposed for when its first parameter is asked for: by then its slot is known to all.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.space = problem.space
        self._proposed: tuple[int, dict[str, int]] = (-1, {})

    @abstractmethod
    def propose(self, study: Study, trial: FrozenTrial, slot: int, seed: int) -> Plan:
        """Return a plan that keeps the space's limits.

        Args:
            study: with all that is known.
            trial: the one to be run.
            slot: the trial's place among the study's.
            seed: of everything random in this proposal, the same whenever the slot is the same.
        """

    def repeat(self, study: Study, slot: int) -> Plan | None:
        """Return a plan to be run again on purpose in this slot; None, but for samplers that do so."""
        return None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return nothing: see `sample_independent`."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return nothing: see `sample_independent`."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return the parameter that the trial's plan gives to a layer."""
        if self._proposed[0] != trial.number:
            self._proposed = trial.number, self.space.params(self.proposal(study, trial))
        return self._proposed[1][param_name]

    def proposal(self, study: Study, trial: FrozenTrial) -> Plan:
        """Return what is proposed for a trial, or a plan near it where that was tried."""
        slot = trial.user_attrs[SLOT] if SLOT in trial.user_attrs else next_slot(study)
        if (again := self.repeat(study, slot)) is not None:
            return again
        seed = seed_for(self.problem.seed, slot, "proposal")
        plan = self.propose(study, trial, slot, seed)
        return self.space.unlike(plan, self.space.tried(study), np.random.default_rng(seed))
