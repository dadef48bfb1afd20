"""An allocation rule as a sampler: its plans at points spread over the way to the budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from ..allocation.registry import rule_named
from ..space.arrays import Choices
from ..space.limits import limits_at, van_der_corput
from .history import History
from .sampler import Sampler
from .untried import WithoutRepeats

if TYPE_CHECKING:
    from ..allocation.registry import Rule


@final
@dataclass(frozen=True)
class RuleSampler:
    """Proposes the rule's plan at the budget first, then below it; does not use scores."""

    rule: Rule

    def propose(self, history: History, slot: int, /) -> Choices:
        """Return the rule's choices at the slot's point."""
        space = history.problem.space
        for position in (van_der_corput(slot), 1.0):
            choices = self.rule(space.candidates, limits_at(space, position))
            if choices is not None:
                return choices
        raise AssertionError("run has checked that some plan keeps the budget")


def rule_sampler(name: str) -> Sampler:
    """Return the sampler of the rule of that name."""
    return WithoutRepeats(RuleSampler(rule_named(name)))
