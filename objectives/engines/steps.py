"""Steps in what ranks take: an engine that computes 16 channels at once takes as long for 17 as for 32, or longer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..metrics.latency_table import NO_STEP, Step

Array = NDArray[np.float64]

STEPS = (16, 8, 4)
"""The steps that are looked for, the largest first."""

PROBED = 2 * STEPS[0]
"""How many neighbouring ranks are measured: two of the largest steps."""

FIT = 0.5
"""Steps are taken for real where the variance about them is at most this share of that about a straight line."""

NEARLY = 1.5
"""The variance about a step is nearly that about a smaller one, up to this ratio."""

LEAST = 1e-9
"""What is less, as a share of the squared time, is rounding."""


def probed_ranks(ranks: Sequence[int]) -> list[int]:
    """Return `PROBED` neighbouring ranks from the middle of those there are, the last a multiple of every step.

    None where there are not so many.

    >>> found = probed_ranks(range(1, 100))
    >>> found[0], found[-1]
    (33, 64)
    """
    there = set(ranks)
    ends = [rank for rank in ranks if rank % STEPS[0] == 0 and there.issuperset(range(rank - PROBED + 1, rank + 1))]
    if not ends:
        return []
    end = ends[len(ends) // 2]
    return list(range(end - PROBED + 1, end + 1))


def step_of(times: Mapping[int, float]) -> Step:
    """Return the step that times have; none where a line explains them as well.

    Up to a multiple of the step more rank takes no more time; a rank that is none may take longer than the next one.

    Args:
        times: rank → what it takes, of neighbouring ranks; the last is a multiple of every step.

    >>> step_of({rank: 1.0 + (rank - 1) // 8 for rank in range(33, 65)})
    Step(size=8, off=1.0)
    >>> step_of({rank: 2.0 if rank % 4 else 1.0 for rank in range(33, 65)})
    Step(size=4, off=2.0)
    >>> step_of({rank: float(rank) for rank in range(33, 65)})
    Step(size=1, off=1.0)
    """
    ranks, seconds = np.array(sorted(times.items()), float).T
    rounding = LEAST * float(seconds.max()) ** 2
    steps = [Step(size, _off(ranks, seconds, size)) for size in STEPS]
    variances = [rounding + _variance(_as_on(ranks, seconds, step), np.ceil(ranks / step.size)) for step in steps]
    # Every step fits at least as well as its multiples: the largest that fits nearly as well is the one.
    best, variance = next(each for each in zip(steps, variances, strict=True) if each[1] <= NEARLY * min(variances))
    line = seconds - np.polyval(np.polyfit(ranks, seconds, 1), ranks)
    return best if variance < FIT * float(line @ line) / (len(line) - 2) else NO_STEP


def _off(ranks: Array, seconds: Array, size: int) -> float:
    """Return how many times as long as the next multiple a rank that is none takes, by the median; at least 1."""
    on = dict(zip(ranks[ranks % size == 0], seconds[ranks % size == 0], strict=True))
    pairs = [
        (taken, on.get(size * np.ceil(rank / size))) for rank, taken in zip(ranks, seconds, strict=True) if rank % size
    ]
    return max(1.0, float(np.median([taken / other for taken, other in pairs if other is not None] or [1.0])))


def _as_on(ranks: Array, seconds: Array, step: Step) -> Array:
    """Return times as if all ranks were multiples of the step."""
    return np.where(ranks % step.size == 0, seconds, seconds / step.off)


def _variance(seconds: Array, above: Array) -> float:
    """Return the variance of times about the mean of their step, ``above`` being the step of each."""
    parts = [seconds[above == each] for each in np.unique(above)]
    return sum(float(((part - part.mean()) ** 2).sum()) for part in parts) / (len(seconds) - len(parts))
