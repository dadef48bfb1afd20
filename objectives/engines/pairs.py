"""Two networks measured against each other: run in turn, so that what else the machine does slows both alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from .timing import WARM_UP, now, timed

LEAST_PAIRS, MOST_PAIRS = 20, 400

NOISY, LONGER = 0.25, 4
"""Where the quartiles of the ratios are further apart than this share of their median, other programs disturb: then
pairs are run for so many times as long."""

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
        seconds: about how long to measure; where the machine is noisy `LONGER` times as long.
        clock: returns the time in seconds; `now` if not given.
    """
    clock = clock or now
    for _ in range(WARM_UP):
        dense()
        other()
    took: list[tuple[float, float]] = []
    began = clock()
    for repeats in (1, LONGER):
        while len(took) < LEAST_PAIRS or (len(took) < repeats * MOST_PAIRS and clock() - began < repeats * seconds):
            took.append(_pair(dense, other, clock, dense_first=len(took) % 2 == 0))
        low, middle, high = _quartiles(took)
        if high - low <= NOISY * middle:
            break
    return Pairs(
        statistics.median(a for a, _ in took), statistics.median(b for _, b in took), middle, low, high, len(took)
    )


def _pair(
    dense: Callable[[], object], other: Callable[[], object], clock: Callable[[], float], *, dense_first: bool
) -> tuple[float, float]:
    """Return what one run of each takes, in seconds."""
    times = [timed(run, clock) for run in ((dense, other) if dense_first else (other, dense))]
    return (times[0], times[1]) if dense_first else (times[1], times[0])


def _quartiles(took: list[tuple[float, float]]) -> list[float]:
    """Return the quartiles of the ratios."""
    return statistics.quantiles([a / max(b, 1e-9) for a, b in took], n=4, method="inclusive")
