"""Runs of one computation on different data, each of which waits at certain points until all have come there.

A layer that is to be solved for several batches at once needs what all of them bring to it before any of them goes on,
and batches of different sizes cannot be passed as one. So every run has a thread; one runs at a time, in their order,
so the result does not depend on how threads are scheduled.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence


class LockStep:
    """Runs that meet at points.

    Args:
        met: called with a point when every run has come to it, has ended, or waits at another; runs then go on. Where
            they wait at several points, that comes first which was first come to.
    """

    def __init__(self, met: Callable[[str], None]) -> None:
        self._met = met
        self._passed: set[str] = set()
        self._seen: dict[str, None] = {}
        self._runs: list[_Run] = []
        self.running = 0
        """Which of the runs is running."""

    def has_passed(self, point: str) -> bool:
        """Return whether runs have met at a point."""
        return point in self._passed

    def wait(self, point: str) -> None:
        """Wait, inside a run, for the others; a point that was passed is passed again."""
        if point in self._passed:
            return
        self._seen.setdefault(point)
        if self._runs:
            self._runs[self.running].pause(point)
        else:
            self._meet(point)

    def __call__(self, bodies: Sequence[Callable[[], None]]) -> None:
        """Run the bodies to their ends; what one of them raises is raised, and the others are given up.

        A single one runs in the caller's thread.
        """
        if len(bodies) == 1:
            bodies[0]()
            return
        self._runs = [_Run(body) for body in bodies]
        try:
            for number in range(len(bodies)):
                self._go_on(number)
            while waiting := {run.point for run in self._runs if run.point is not None}:
                point = next(point for point in self._seen if point in waiting)
                self._meet(point)
                for number, run in enumerate(self._runs):
                    if run.point == point:
                        self._go_on(number)
        finally:
            for run in self._runs:
                run.give_up()
            self._runs = []

    def _meet(self, point: str) -> None:
        self._passed.add(point)
        self._met(point)

    def _go_on(self, number: int) -> None:
        self.running = number
        self._runs[number].go_on()


class _GivenUp(BaseException):
    """Ends a run's thread; no ``except Exception`` of the user's catches it."""


class _Run:
    """A body in a thread of its own, which runs only inside `go_on`."""

    def __init__(self, body: Callable[[], None]) -> None:
        self.point: str | None = None
        """Where it waits; None before its start and after its end."""
        self._body = body
        self._error: BaseException | None = None
        self._given_up = False
        self._turn, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._work, daemon=True)

    def go_on(self) -> None:
        """Run the body until it waits or ends; raises what it raises."""
        self.point = None
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._turn.release()
        self._back.acquire()
        if self._error is not None:
            raise self._error

    def pause(self, point: str) -> None:
        """Wait, inside the body, for the next `go_on`."""
        self.point = point
        self._back.release()
        self._turn.acquire()
        if self._given_up:
            raise _GivenUp

    def give_up(self) -> None:
        """End the thread, where it is not at its end."""
        self._given_up = True
        if self._thread.is_alive():
            self._turn.release()
            self._thread.join()

    def _work(self) -> None:
        try:
            self._body()
        except _GivenUp:
            pass
        except BaseException as error:  # raised again in `go_on`
            self._error = error
        finally:
            self.point = None
            self._back.release()
