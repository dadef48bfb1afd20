"""What a worker tells its supervisor."""

from __future__ import annotations

from enum import StrEnum


class Event(StrEnum):
    """The kinds of events, with what each brings besides."""

    READY = "ready"
    """Its trials can begin."""
    SAY = "say"
    """A line that stays."""
    ONCE = "once"
    """A topic, and a line that stays if it is the first on it."""
    WORK = "work"
    """What is under way, how much of it is done, how much there is."""
    FINISH = "finish"
    """What is no longer under way."""
    BEST = "best"
    """Which trial is the best so far."""
    ERROR = "error"
    """Why it ends, a sentence."""
    EXIT = "exit"
    """How it died, nothing where it ended well; the last event."""
    LOST = "lost"
    """What it ran on that is gone, and not by its fault; the last event."""
