"""Runs of the same plan with other seeds, and how much of a score is luck.

The best of many noisy scores is too good to be true: chosen for being high, it was probably lucky, too (the "winner's
curse"; Cawley & Talbot, JMLR 2010, for model selection). So a study runs its leaders again. Then a plan is judged by
the mean of its runs, and one that ran once by its score less what the others lost, on average, when run again.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from statistics import mean
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def runs_of(pairs: Iterable[tuple[Key, float]]) -> dict[Key, list[float]]:
    """Return plan → its scores, both in the order given.

    >>> runs_of([("a", 0.5), ("b", 0.4), ("a", 0.3)])
    {'a': [0.5, 0.3], 'b': [0.4]}
    """
    runs: dict[Key, list[float]] = {}
    for plan, score in pairs:
        runs.setdefault(plan, []).append(score)
    return runs


def luck_of(runs: Mapping[Key, Sequence[float]]) -> float:
    """Return what plans lost, on average, from their first run to the mean of their others; 0 where they gained.

    >>> luck_of({"a": [0.5, 0.3], "b": [0.4]})
    0.2
    """
    lost = [scores[0] - mean(scores[1:]) for scores in runs.values() if len(scores) > 1]
    return max(0.0, mean(lost)) if lost else 0.0
