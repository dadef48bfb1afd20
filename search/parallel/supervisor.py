"""The supervisor of several workers: starts them, shows what they say, starts another where one died, stops them all.

It runs no trial. A worker that died after it could run trials is followed by another, which runs the lost trial again;
one that died before is not, for the next would die as well, unless what it ran on is gone. Each slot bounds how often
(see `workers.ATTEMPTS`).
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from ...objectives.errors import RankfrontError
from ..report.progress import TRIALS, Progress
from .events import Event
from .handle import Events, Handle

Start = Callable[[int, Events], Handle]
"""Starts the worker of a number, from 1, whose events go into the queue."""


class Supervisor:
    """Watches workers until all have ended.

    Args:
        start: starts a worker.
        count: how many are to be at work at once.
        progress: shows what all of them do.
    """

    def __init__(self, start: Start, count: int, progress: Progress) -> None:
        self._start, self._count, self._progress = start, count, progress
        self._events: Events = SimpleQueue()
        self._shown: dict[Handle, set[str]] = {}
        """Living worker → what it shows a bar of."""
        self._ready: set[Handle] = set()
        self._most = 0
        """The largest number of a trial, from 1, that has ended."""
        self._left = ""
        """How the last worker died that had not reached a trial."""
        self._ended_well = self._stopping = False

    def run(self) -> None:
        """Start the workers; returns when all have ended.

        Raises:
            RankfrontError: one of them met an error, or all died before their first trial. The others are stopped.
            KeyboardInterrupt: the user stopped it; no worker lives any more.
        """
        try:
            for number in range(1, self._count + 1):
                self._begin(number)
            self._until_all_ended()
        except BaseException:
            self._stop()
            raise
        if not self._ended_well:
            raise RankfrontError(
                f"workers must reach their first trial, but all {self._count} died before, the last by {self._left}: "
                "is there memory for so many? workers=1 runs trials in this process"
            )

    def _begin(self, number: int) -> None:
        self._shown[self._start(number, self._events)] = set()

    def _until_all_ended(self) -> None:
        while self._shown:
            child, event = self._events.get()
            if child in self._shown:
                self._take(child, *event)

    def _stop(self) -> None:
        """Stop all; at another Ctrl-C meanwhile, at once."""
        self._stopping = True
        for child in self._shown:
            child.stop()
        try:
            self._until_all_ended()
        except KeyboardInterrupt:
            for child in self._shown:
                child.kill()
            self._until_all_ended()

    def _take(self, child: Handle, kind: str, *event: Any) -> None:
        match kind:
            case Event.READY:
                self._ready.add(child)
            case Event.SAY:
                self._progress.say(*event)
            case Event.ONCE:
                self._progress.say_once(*event)
            case Event.WORK:
                self._show(child, *event)
            case Event.FINISH:
                self._finish(child, *event)
            case Event.BEST:
                self._progress.best(*event)
            case Event.ERROR if not self._stopping:
                raise RankfrontError(*event)
            case Event.EXIT:
                self._end(child, *event)
            case Event.LOST:
                self._ready.add(child)
                self._end(child, *event)

    def _show(self, child: Handle, what: str, done: int, total: int) -> None:
        if what == TRIALS:
            self._most = done = max(done, self._most)
        else:
            self._shown[child].add(what)
        self._progress(what, done, total)

    def _finish(self, child: Handle, what: str) -> None:
        self._shown[child].discard(what)
        self._progress.finish(what)

    def _end(self, child: Handle, died_by: str) -> None:
        for what in self._shown.pop(child):
            self._progress.finish(what)
        if self._stopping:
            return
        if not died_by:
            self._ended_well = True
        elif child in self._ready:
            self._progress.say(f"worker {child.number} died by {died_by}: another one takes its place")
            self._begin(child.number)
        else:
            self._left = died_by
            self._progress.say(f"worker {child.number} died by {self._left} before its first trial: the others go on")
