"""What all samplers here have in common: whole plans within the budget, none twice, seeded by their slot."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from ..objectives.plan import Plan
from .problem import Problem
from .slots import next_slot, seed_for


class Proposer(BaseSampler):
    """A sampler that proposes all parameters together, as a plan.

    It keeps nothing between trials: all it knows it reads from the study, so that a resumed study goes on as an
    undisturbed one.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.space = problem.space

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
        """Return the whole space: all parameters are proposed together."""
        return self.space.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the parameters of the proposal, or of a plan near it where that was tried."""
        slot = next_slot(study)
        if (again := self.repeat(study, slot)) is not None:
            return self.space.params(again)
        seed = seed_for(self.problem.seed, slot, "proposal")
        plan = self.propose(study, trial, slot, seed)
        return self.space.params(self.space.unlike(plan, self.space.tried(study), np.random.default_rng(seed)))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Not reached: `sample_relative` proposes every parameter of the space."""
        raise NotImplementedError(f"parameter {param_name!r} is not of this study's space")
