"""How far one thing is that the user waits for, and how long it may still take."""

from __future__ import annotations

from dataclasses import dataclass

from .format import duration


@dataclass
class Bar:
    """How much of something is done; what was done when it was first counted says nothing of how fast it goes."""

    what: str
    done: int
    total: int
    """0 where nobody knows how much there is."""
    began: float
    """Seconds, on the clock of whoever counts."""
    at_first: int

    def left(self, now: float) -> float | None:
        """Return the seconds that the rest takes as fast as what was done until now; None where nobody knows.

        >>> Bar("decomposing", 30, 40, began=0.0, at_first=10).left(now=60.0)
        30.0
        """
        here = self.done - self.at_first
        return (now - self.began) / here * (self.total - self.done) if self.total and here > 0 else None

    def per_minute(self, now: float) -> float | None:
        """Return how many were done a minute; None before the first.

        >>> Bar("trials", 12, 40, began=0.0, at_first=0).per_minute(now=120.0)
        6.0
        """
        here = self.done - self.at_first
        return 60 * here / (now - self.began) if here > 0 and now > self.began else None

    def counted(self) -> str:
        """Return how much is done: ``12 of 40``, where it can be counted."""
        if not self.total:
            return str(self.done) if self.done else ""
        return f"{self.done} of {self.total}" if self.total > 1 else ""

    def shown_left(self, now: float) -> str:
        """Return how long the rest may take, in words; where nobody knows, how long it has taken.

        >>> Bar("refitting", 0, 0, began=0.0, at_first=0).shown_left(now=12.0)
        'for 12 s'
        """
        left, taken = self.left(now), now - self.began
        if left is None:
            return f"for {duration(taken)}" if taken >= 1 else ""
        return f"{duration(left)} left" if left else ""

    def line(self, now: float) -> str:
        """Return all of it in one line.

        >>> Bar("decomposing", 30, 40, began=0.0, at_first=10).line(now=60.0)
        'decomposing: 30 of 40, 30 s left'
        """
        known = ", ".join(filter(None, (self.counted(), self.shown_left(now))))
        return f"{self.what}: {known}" if known else self.what
