"""The best trial within a budget."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ...objectives.errors import RankfrontError
from ...objectives.metrics.amounts import share_shown
from ...objectives.metrics.latency import LATENCY
from .front import best_within, front_of, smallest_within
from .measured import as_measured

if TYPE_CHECKING:
    from ..space.budget import Budget
    from ..storage.dense import DenseModel
    from ..storage.trials import Scored
    from .result import Result


def best_of(result: Result, budget: Budget) -> Scored:
    """Return the best trial within a budget: see `Result.best_trial`. Latency counts as measured, where it was."""
    best = chosen(as_measured(result, result.retained, budget), budget, result.dense)
    return next(trial for trial in result.retained if trial.trial == best.trial)


def chosen(trials: Sequence[Scored], budget: Budget, dense: DenseModel) -> Scored:
    """Return the best of these trials within a budget, by the metrics that they hold.

    Raises:
        RankfrontError: none of them keeps it.
    """
    if budget.floor is not None:
        return smallest_within(trials, budget, dense)
    return best_within(front_of(trials, dense.costs), budget, dense.metrics)


def over_budget(result: Result) -> Iterator[str]:
    """Yield a sentence for each trial that would be the best as predicted, but was measured over the budget."""
    budget = result.budget.on((LATENCY.name,))
    dense, limits = result.dense.metrics, budget.limits(result.dense.metrics)
    measured = {trial.trial: trial.metrics for trial in as_measured(result, result.retained, result.budget)}
    left = {trial.trial: trial for trial in result.retained}
    with contextlib.suppress(RankfrontError):  # none is left
        while limits:
            first = chosen([*left.values()], result.budget, result.dense)
            found = measured[left.pop(first.trial).trial]
            if found[LATENCY.name] <= limits[LATENCY.name]:
                return
            shares = [share_shown(of[LATENCY.name], dense[LATENCY.name]) for of in (found, first.metrics)]
            yield (
                f"trial {first.trial} is not the best: its latency is {shares[0]} of the dense model's as measured "
                f"({shares[1]} predicted), over the budget {budget}"
            )


def best_or_none(result: Result) -> Scored | None:
    """Return the best trial within the study's budget; None where none keeps it, or has the score that it asks for."""
    return best_within_or_none(result, result.budget)


def best_within_or_none(result: Result, budget: Budget) -> Scored | None:
    """Return the best trial within a budget; None where none keeps it."""
    try:
        return best_of(result, budget)
    except RankfrontError:
        return None
