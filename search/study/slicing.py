"""Any budget without a trial: the best slice of the weights that all plans share (as FlexRank promises, 2026)."""

from __future__ import annotations

from dataclasses import dataclass

from ...objectives.errors import RankfrontError
from ...objectives.export.int8 import quantized
from ...objectives.model.mode import in_eval
from ...objectives.objective import Objective
from ...objectives.plan import Plan
from ...objectives.start import read_refit
from ..allocation.registry import rule_named
from ..results.slice import Slice
from ..space.budget import Budget, check_possible
from ..space.space import Space

RULES = ("knapsack", "bottleneck", "energy")
"""The rules whose plans at a budget are compared by their slices' scores."""


@dataclass(frozen=True)
class Slices:
    """The slices of a study's shared weights; called with a budget, it returns the best one within it."""

    objective: Objective
    space: Space

    def __call__(self, budget: Budget) -> Slice:
        """Return the best slice within a budget.

        Raises:
            RankfrontError: no plan keeps it, or it is on the score.
        """
        objective, dense = self.objective, self.objective.costs.dense
        if budget.floor is not None:
            raise RankfrontError(
                f"budget {budget} must be on metrics alone: what a slice scores is known when it is made"
            )
        check_possible(budget, dense, objective.smallest)
        limits = budget.limits(dense)
        found = [rule_named(rule)(self.space.candidates, limits) for rule in RULES]
        plans = {self.space.plan(choices): None for choices in found if choices is not None}
        if not plans:
            raise RankfrontError(f"budget {budget} is kept by no plan: its bounds cannot hold all at once")
        return min(map(self._slice, plans), key=lambda made: objective.task.score.scale.minimised(made.score))

    def _slice(self, plan: Plan) -> Slice:
        """Return the network that a trial of the plan would begin with."""
        objective = self.objective
        model, _ = objective.started(plan, read_refit(objective.task.refit))
        if objective.task.int8:
            model = quantized(model.cpu())
        score = objective.score(model)
        return Slice(plan, score, objective.costs.of(plan), in_eval(model.cpu()))
