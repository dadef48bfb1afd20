"""Runs of one plan with several seeds, and the selection bias of the best of many scores.

The maximum of noisy scores is biased upwards (the "winner's curse"; Cawley & Talbot, JMLR 2010, for model selection).
So a study runs its leaders again. Then a plan that ran several times is compared by the mean of its runs. A plan that
ran once is compared by its score, corrected by the mean difference between first and later runs of the others.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from statistics import mean
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)

LEADERS = 10
"""How many of the best trials may be run again at the end of a study; their weights are kept until then."""


def runs_of(pairs: Iterable[tuple[Key, float]]) -> dict[Key, list[float]]:
    """Return plan → its values, both in the order given.

    >>> runs_of([("a", 0.5), ("b", 0.4), ("a", 0.3)])
    {'a': [0.5, 0.3], 'b': [0.4]}
    """
    runs: dict[Key, list[float]] = {}
    for plan, value in pairs:
        runs.setdefault(plan, []).append(value)
    return runs


def selection_bias(runs: Mapping[Key, Sequence[float]]) -> float:
    """Return the mean selection bias of the first run of a plan.

    That is the mean difference, over plans that ran several times, between the mean of the later runs and the first
    run; 0 where the later runs were better.

    Args:
        runs: plan → its values, less is better.

    >>> round(selection_bias({"a": [0.3, 0.5], "b": [0.4]}), 3)
    0.2
    """
    lost = [mean(values[1:]) - values[0] for values in runs.values() if len(values) > 1]
    return max(0.0, mean(lost)) if lost else 0.0
