"""A network at a budget that no trial was trained for: a slice of the weights that all plans share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...objectives.errors import RankfrontError
from ...objectives.metrics.values import Metrics
from ...objectives.plan import Plan
from ..space.budget import Budget
from .best import best_of, best_within_or_none
from .opening import described_network

if TYPE_CHECKING:
    from torch import nn

    from .result import Result


@dataclass(frozen=True)
class Slice:
    """A plan's network of shared weights, in eval mode on the CPU."""

    plan: Plan
    score: float
    """On the validation split."""
    metrics: Metrics
    model: nn.Module = field(repr=False)


def slice_within(result: Result, budget: Budget) -> Slice:
    """Return the best slice within a budget: see `Result.sliced`."""
    if result.slices is None:
        raise RankfrontError(
            "sliced needs weights that all plans share, and the data: call it on what "
            "rankfront.run(task, out, shared=True) returns"
        )
    return result.slices(budget)


def model_within(result: Result, budget: Budget | None) -> nn.Module:
    """Return the best model within a budget, of a trial or a slice: see `Result.model`."""
    if budget is None or budget.floor is not None or result.slices is None:
        trial = best_of(result, budget or result.budget)
    else:
        made, trial = result.slices(budget), best_within_or_none(result, budget)
        if trial is None or result.scale.minimised(made.score) < trial.minimised:
            return made.model
    if result.architecture is None:
        result.architecture = described_network(result.folder)
    return result.load(trial, result.architecture)
