"""An allocation rule as a sampler: its plans at points spread over the way to the budget."""

from __future__ import annotations

from typing import Any, final

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from .reach import limits_at, spread
from .rules import Rule
from .slots import next_slot, seed_for
from .space import Space


@final
class RuleSampler(BaseSampler):
    """The rule at the budget first, then below it; it learns nothing from scores."""

    def __init__(self, rule: Rule, space: Space, seed: int) -> None:
        self.rule = rule
        self.space = space
        self.seed = seed

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the whole space: all parameters are proposed together."""
        return self.space.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the rule's plan at the slot's point, or one near it where that was tried."""
        slot = next_slot(study)
        plan = self.rule(self.space.candidates, limits_at(self.space, spread(slot)))
        plan = plan or self.rule(self.space.candidates, limits_at(self.space, 1.0))
        assert plan is not None, "run has seen that some plan keeps the budget"
        rng = np.random.default_rng(seed_for(self.seed, slot, "proposal"))
        return self.space.params(self.space.unlike(plan, self.space.tried(study), rng))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Not reached: `sample_relative` proposes every parameter of the space."""
        raise NotImplementedError(f"parameter {param_name!r} is not of this study's space")
