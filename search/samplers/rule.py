"""An allocation rule as a sampler: its plans at points spread over the way to the budget."""

from __future__ import annotations

from typing import final

from optuna.study import Study
from optuna.trial import FrozenTrial

from ...objectives.plan import Plan
from ..allocation.rules import Rule
from ..space.limits import limits_at, spread
from .problem import Problem
from .proposer import Proposer


@final
class RuleSampler(Proposer):
    """The rule at the budget first, then below it; it learns nothing from scores."""

    def __init__(self, rule: Rule, problem: Problem) -> None:
        super().__init__(problem)
        self.rule = rule

    def propose(self, study: Study, trial: FrozenTrial, slot: int, seed: int) -> Plan:
        """Return the rule's plan at the slot's point."""
        plan = self.rule(self.space.candidates, limits_at(self.space, spread(slot)))
        plan = plan or self.rule(self.space.candidates, limits_at(self.space, 1.0))
        assert plan is not None, "run has seen that some plan keeps the budget"
        return plan
