"""Steps in what ranks take: an engine that computes 16 channels at once takes as long for 17 as for 32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

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


def step_of(times: Mapping[int, float]) -> int:
    """Return the step that times have: up to it, more rank takes no more time; 1 where a line explains them as well.

    Args:
        times: rank → what it takes, of neighbouring ranks; the last is a multiple of every step.

    >>> step_of({rank: 1.0 + (rank - 1) // 8 for rank in range(33, 65)})
    8
    >>> step_of({rank: float(rank) for rank in range(33, 65)})
    1
    """
    ranks, seconds = np.array(sorted(times.items()), float).T
    rounding = LEAST * float(seconds.max()) ** 2
    variances = {step: rounding + _variance(seconds, np.ceil(ranks / step)) for step in STEPS}
    # Every step fits at least as well as its multiples: the largest that fits nearly as well is the one.
    best = next(step for step in STEPS if variances[step] <= NEARLY * min(variances.values()))
    line = seconds - np.polyval(np.polyfit(ranks, seconds, 1), ranks)
    return best if variances[best] < FIT * float(line @ line) / (len(line) - 2) else 1


def _variance(seconds: Array, above: Array) -> float:
    """Return the variance of times about the mean of their step, ``above`` being the step of each."""
    parts = [seconds[above == each] for each in np.unique(above)]
    return sum(float(((part - part.mean()) ** 2).sum()) for part in parts) / (len(seconds) - len(parts))
