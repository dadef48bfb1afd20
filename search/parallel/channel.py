"""A worker's end of the pipe to its supervisor: whatever it would show is sent as an event, a line of JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from ..report.progress import Progress
from .events import Event

INTERVAL_S = 0.1
"""Between two events of how far something is."""


class Channel(Progress):
    """Sends to the supervisor what is said and how far what is.

    Until the worker is `ready` nothing is sent: the supervisor has said the same of its own preparation.

    Args:
        write: takes an event as bytes, a line's end included.
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        super().__init__(shown=False)
        self._write = write
        self._ready = False
        self._last = ("", 0.0)

    def ready(self) -> None:
        """Say that trials can begin."""
        self._ready = True
        self._send(Event.READY)

    def fail(self, sentence: str) -> None:
        """Say why the worker ends."""
        self._ready = True
        self._send(Event.ERROR, sentence)

    def say(self, line: str = "") -> None:
        """Send a line that stays."""
        self._send(Event.SAY, line)

    def say_once(self, topic: str, line: str) -> None:
        """Send a line that is shown the first time that any worker says something on this topic."""
        if line:
            self._send(Event.ONCE, topic, line)

    def __call__(self, what: str, done: int, total: int) -> None:
        """Send how far something is, but not too often."""
        now = time.monotonic()
        before, at = self._last
        if what != before or done >= total or now - at >= INTERVAL_S:
            self._send(Event.WORK, what, done, total)
            self._last = (what, now)

    def finish(self, what: str) -> None:
        """Send that something is no longer under way."""
        self._send(Event.FINISH, what)

    def best(self, line: str) -> None:
        """Send which trial is the best so far, where that has changed."""
        if line != self._best:
            self._best = line
            self._send(Event.BEST, line)

    def log_to(self, path: Path) -> None:
        """Log nothing: the supervisor does."""

    def _send(self, kind: Event, *event: object) -> None:
        if self._ready:
            self._write(json.dumps([kind, *event]).encode() + b"\n")
