"""Two networks measured against each other: run in turn, so that what else the machine does slows both alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from .timing import WARM_UP, now, timed

LEAST_PAIRS, MOST_PAIRS = 20, 400

SECONDS = 4.0
"""About how long pairs are run; a pair that takes long is run `LEAST_PAIRS` times."""


@dataclass(frozen=True)
class Pairs:
    """What pairs of runs took."""

    dense_s: float
    """Median of one run of the first network, in seconds."""
    other_s: float
    """Median of one run of the second, in seconds."""
    speedup: float
    """Median of the pairs' ratios: how many times faster the second is."""
    low: float
    high: float
    """The quartiles of these ratios."""
    count: int


def measure_pairs(
    dense: Callable[[], object],
    other: Callable[[], object],
    *,
    seconds: float = SECONDS,
    clock: Callable[[], float] | None = None,
) -> Pairs:
    """Run two networks in turn, each first every other time, and compare.

    Args:
        dense: runs the first network once.
        other: runs the second.
        seconds: about how long to measure.
        clock: returns the time in seconds; `now` if not given.
    """
    clock = clock or now
    for _ in range(WARM_UP):
        dense()
        other()
    took: list[tuple[float, float]] = []
    began = clock()
    while len(took) < LEAST_PAIRS or (len(took) < MOST_PAIRS and clock() - began < seconds):
        first_is_dense = len(took) % 2 == 0
        times = [timed(run, clock) for run in ((dense, other) if first_is_dense else (other, dense))]
        took.append((times[0], times[1]) if first_is_dense else (times[1], times[0]))
    ratios = [a / max(b, 1e-9) for a, b in took]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Pairs(
        statistics.median(a for a, _ in took), statistics.median(b for _, b in took), middle, low, high, len(took)
    )
