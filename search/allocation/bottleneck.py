"""The rule ``bottleneck``: the knapsack, with bottlenecks counted as errors that fine-tuning does not remove."""

from __future__ import annotations

from collections.abc import Mapping

from ..space.arrays import Choices
from ..space.candidates import Candidates
from .knapsack import knapsack


def bottleneck(candidates: Candidates, limits: Mapping[str, float]) -> Choices | None:
    """Return the choices of the least sum of errors and bottleneck penalties within the limits."""
    return knapsack(candidates, limits, candidates.penalised_errors)
