"""How long runs take: the least of many, and the clock that all measurements here read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter

WARM_UP = 3
"""Runs before any counts: caches fill, engines choose kernels."""

LEAST_ROUNDS, MOST_ROUNDS = 15, 200

SECONDS_EACH = 0.1
"""About how long each of several runs is repeated."""


def now() -> float:
    """Return the time in seconds."""
    return perf_counter()


def timed(run: Callable[[], object], clock: Callable[[], float]) -> float:
    """Return how many seconds one run takes."""
    began = clock()
    run()
    return clock() - began


def least_seconds(runs: Sequence[Callable[[], object]], clock: Callable[[], float] | None = None) -> list[float]:
    """Return the least time of each of several runs, done in turn many times.

    Whatever else the machine does adds to a time and never takes from it, so the least is the most repeatable. In turn:
    what runs finds its weights in no nearer cache than it does within a network.

    Args:
        runs: each runs something once.
        clock: returns the time in seconds; `now` if not given.
    """
    clock = clock or now
    for run in runs:
        for _ in range(WARM_UP):
            run()
    rounds: list[list[float]] = []
    began = clock()
    enough = SECONDS_EACH * len(runs)
    while len(rounds) < LEAST_ROUNDS or (len(rounds) < MOST_ROUNDS and clock() - began < enough):
        rounds.append([timed(run, clock) for run in runs])
    return [min(each) for each in zip(*rounds, strict=True)]
