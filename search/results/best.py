"""The best trial within a budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...objectives.errors import RankfrontError
from .front import best_within, front_of, smallest_within

if TYPE_CHECKING:
    from ..space.budget import Budget
    from ..storage.trials import Scored
    from .result import Result


def best_of(result: Result, budget: Budget) -> Scored:
    """Return the best trial within a budget: see `Result.best_trial`."""
    if budget.floor is not None:
        return smallest_within(result.retained, budget, result.dense)
    return best_within(front_of(result.retained, result.dense.costs), budget, result.dense.metrics)


def best_or_none(result: Result) -> Scored | None:
    """Return the best trial within the study's budget; None where none keeps it, or has the score that it asks for."""
    try:
        return best_of(result, result.budget)
    except RankfrontError:
        return None
