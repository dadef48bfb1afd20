"""Where a trial's time goes: seconds by phase, whose sum is the whole."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping

PROPOSING, SCREENING = "proposing", "screening"
"""Scoring networks before fine-tuning is screening."""

FACTORIZING, REFITTING, TRAINING, SCORING, STORING = "factorizing", "refitting", "training", "scoring", "storing"

REST = "the rest"
"""What passes outside all phases."""


class Phases:
    """A clock that notes what is going on. Phases may lie in each other: the seconds are then the inner one's.

    Args:
        clock: returns the time in seconds.
        told: called with a phase's name whenever it becomes the inner one.

    >>> ticks = iter([0.0, 1.0, 3.0, 7.0, 8.0, 10.0])
    >>> phases = Phases(lambda: next(ticks))
    >>> with phases("training"):
    ...     with phases("scoring"):
    ...         pass
    >>> phases.seconds()
    {'the rest': 3.0, 'training': 3.0, 'scoring': 4.0}
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, told: Callable[[str], object] = lambda name: None
    ) -> None:
        self._clock, self._told = clock, told
        self._open = [REST]
        self.restart()

    def restart(self) -> None:
        """Begin at 0, in the phases that are open."""
        self._seconds = {REST: 0.0}
        self._since = self._clock()

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Note the seconds that pass in the context."""
        self._note()
        self._open.append(name)
        self._told(name)
        try:
            yield
        finally:
            self._note()
            self._open.pop()
            self._told(self._open[-1])

    def seconds(self) -> Mapping[str, float]:
        """Return phase → seconds until now."""
        self._note()
        return dict(self._seconds)

    def _note(self) -> None:
        now = self._clock()
        self._seconds[self._open[-1]] = self._seconds.get(self._open[-1], 0.0) + now - self._since
        self._since = now
