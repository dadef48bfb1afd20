"""Bisection on the one number that a simple allocation rule has: the largest that keeps the limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..space.arrays import Choices
from ..space.candidates import Candidates
from .knapsack import knapsack

HALVINGS = 40
"""How often the interval of the number is halved."""


def largest_that_fits(
    candidates: Candidates, limits: Mapping[str, float], choices_at: Callable[[float], Choices]
) -> Choices | None:
    """Return ``choices_at(x)`` for the largest ``x`` from 0 to 1 that keeps the limits.

    Where not even ``x = 0`` does, it is the knapsack's answer: a rule's own smallest plan is not the smallest there is.
    None where no plan fits at all.
    """

    def fits(choices: Choices) -> bool:
        return candidates.fits(choices, limits)[0]

    if fits(choices := choices_at(1.0)):
        return choices
    if not fits(best := choices_at(0.0)):
        return knapsack(candidates, limits)
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if fits(choices := choices_at(middle)):
            low, best = middle, choices
        else:
            high = middle
    return best
