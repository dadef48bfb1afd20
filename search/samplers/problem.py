"""What a sampler is told of the study it proposes for; it does not change while the study runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...objectives.plan import Plan
from ..space.space import Space
from ..storage.slots import seed_for


@dataclass(frozen=True)
class Problem:
    """The search space, the study's settings, and what can be asked about a plan without training it."""

    space: Space
    seed: int
    """The study's seed."""
    trials: int
    """How many trials the study is to have."""
    factorized_score: Callable[[Plan], float | None]
    """Plan → validation score of the network as it is factorized; None where it has none. Higher is better."""
    score_before_finetuning: Callable[[Plan], float | None]
    """Plan → validation score of the network that a trial fine-tunes (refitted, batch norm re-estimated); or None."""
    samples: int
    """The size of the validation split where the score is an accuracy; else 0."""
    costs: tuple[str, ...] = ()
    """The metrics that are objectives beside the score; none in a study of the score alone."""

    def seed_of(self, slot: int) -> int:
        """Return the seed of everything random in the proposal of a slot: the same whenever the slot is run again."""
        return seed_for(self.seed, slot, "proposal")
