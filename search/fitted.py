"""Any Optuna sampler, with every proposal fitted to the budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from .slots import next_slot, seed_for
from .space import Space


@final
class FittedSampler(BaseSampler):
    """Asks another sampler for all parameters, then scales an over-budget proposal's ranks down.

    The usual repair of constrained search: what is stored is what was evaluated, so the other sampler
    learns from the repaired points. It is made anew, with its slot's seed, for every proposal: all it
    knows it reads from the study, and a resumed study goes on as an undisturbed one.
    """

    def __init__(self, make: Callable[[int], BaseSampler], space: Space, seed: int) -> None:
        self.make = make
        self.space = space
        self.seed = seed

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the whole space: all parameters are proposed together."""
        return self.space.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the other sampler's proposal, fitted, and unlike every plan before it."""
        seed = seed_for(self.seed, next_slot(study), "proposal")
        inner = self.make(seed)
        proposal = inner.sample_relative(study, trial, inner.infer_relative_search_space(study, trial))
        for name, distribution in search_space.items():
            if name not in proposal:
                proposal[name] = inner.sample_independent(study, trial, name, distribution)
        plan = self.space.plan(self.space.fitted(proposal))
        return self.space.params(self.space.unlike(plan, self.space.tried(study), np.random.default_rng(seed)))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Not reached: `sample_relative` proposes every parameter of the space."""
        raise NotImplementedError(f"parameter {param_name!r} is not of this study's space")
