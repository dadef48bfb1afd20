"""What an actor of Ray does on its node for a worker: see `ray_cluster`. It imports neither Ray nor torch."""

from __future__ import annotations

import sys
import threading
from queue import SimpleQueue
from typing import Any

from .child import Child
from .handle import Events


class Host:
    """Starts a worker's process on a node. Ray makes an actor of it, whose methods run in threads.

    Args:
        path: the supervisor's module search path, which comes before this process's own.
    """

    def __init__(self, path: list[str]) -> None:
        sys.path[:] = [*path, *(folder for folder in sys.path if folder not in path)]
        self._child: Child | None = None
        self._said: list[list[Any]] = []
        self._dropped = 0
        self._news = threading.Condition()

    def begin(self, number: int, code: str, job: bytes, environment: dict[str, str]) -> None:
        """Start the process, at the first call; see `Child`."""
        with self._news:
            if self._child is None:
                events: Events = SimpleQueue()
                self._child = Child(number, code, job, environment, events)
                threading.Thread(target=self._collect, args=(events,), daemon=True).start()

    def events(self, seen: int) -> list[list[Any]]:
        """Return what the process has said after so many events; waits until there is something.

        An answer that was lost on its way can be asked for again.
        """
        with self._news:
            self._news.wait_for(lambda: self._dropped + len(self._said) > seen)
            del self._said[: seen - self._dropped]
            self._dropped = seen
            return list(self._said)

    def stop(self) -> None:
        """Ask the process to end."""
        if self._child is not None:
            self._child.stop()

    def _collect(self, events: Events) -> None:
        while True:
            _, event = events.get()
            with self._news:
                self._said.append(event)
                self._news.notify_all()
